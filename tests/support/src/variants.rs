//! Worlds with another issuer or another way to it, and requests that run beside the test.

use tokio::task::JoinHandle;
use tower_token_refresh::{Transport, testing::StrictIssuerBuilder};

use std::sync::Arc;

use tower_sessions::{MemoryStore, Session, session::Id};
use tower_token_refresh::{
    ClientAuth, RefreshPolicy, TokenEndpoint, TokenRefresher, TokenRefresherBuilder,
    testing::{ManualClock, StrictIssuer},
    token_store::InSessions,
    tower_sessions,
};

use super::{LIFE, ScriptedSessions, ScriptedTokens, World, endpoint, refresher};

impl World {
    /// A world whose issuer and refresher are set up as told.
    pub fn configured(
        issuer: impl FnOnce(StrictIssuerBuilder) -> StrictIssuerBuilder,
        configure: impl FnOnce(TokenRefresherBuilder) -> TokenRefresherBuilder,
    ) -> Self {
        let clock = ManualClock::new();
        let builder = StrictIssuer::builder().clock(clock.clock()).access_token_lifetime(LIFE);
        let issuer = issuer(builder).build();
        let sessions = ScriptedSessions::new(MemoryStore::default());
        let tokens = ScriptedTokens::new(InSessions::new(sessions.clone()));
        let refresher = refresher(&issuer, &clock, &sessions, &tokens, configure);
        Self { issuer, clock, sessions, tokens, refresher, keys: None }
    }

    /// A world that reaches its issuer by the transport made of it.
    pub fn reached_by(transport: impl FnOnce(&StrictIssuer) -> Transport) -> Self {
        let world = Self::on_memory();
        let endpoint =
            TokenEndpoint::new(world.issuer.token_url(), ClientAuth::basic("web", "secret"))
                .transport(transport(&world.issuer));
        world.asking(endpoint)
    }

    /// Requests wait longer than any flight takes.
    pub fn patient() -> Self {
        let policy = RefreshPolicy::default().wait_timeout(std::time::Duration::from_secs(120));
        Self::with(|builder| builder.policy(policy))
    }

    /// The same world with a refresher that asks `endpoint`.
    /// As this one, but at a provider of its own, which has the same clock.
    pub fn at(self, provider: impl FnOnce(StrictIssuerBuilder) -> StrictIssuerBuilder) -> Self {
        let issuer = provider(StrictIssuer::builder().clock(self.clock.clock())).build();
        let endpoint = endpoint(&issuer);
        Self { issuer, ..self }.asking(endpoint)
    }

    pub fn asking(self, endpoint: TokenEndpoint) -> Self {
        let refresher = TokenRefresher::builder(endpoint, self.sessions.clone())
            .token_store(self.tokens.clone())
            .clock(self.clock.clock())
            .build()
            .expect("the settings agree");
        Self { refresher, ..self }
    }
}

/// As [`on_every_store`](crate::on_every_store), with tokio's clock paused: time passes as soon as
/// nothing else can happen. Not in SQLite, for whose thread that clock does not wait.
#[macro_export]
macro_rules! paused_on_every_store {
    ($($(#[$meta:meta])* async fn $name:ident($world:ident: World) $body:block)*) => {$(
        async fn $name($world: $crate::World) $body

        $(#[$meta])*
        mod $name {
            #[tokio::test(start_paused = true)]
            async fn on_memory() {
                super::$name($crate::World::on_memory()).await;
            }

            #[tokio::test(start_paused = true)]
            async fn on_memory_sealed() {
                super::$name($crate::World::on_memory_sealed()).await;
            }

            #[tokio::test(start_paused = true)]
            async fn on_swapping() {
                super::$name($crate::World::on_swapping()).await;
            }
        }
    )*};
}

/// A session as a request to another process would have it.
pub fn session_at(refresher: &TokenRefresher, id: Id) -> Session {
    Session::new(Some(id), Arc::new(refresher.session_store()), None)
}

/// The request's client goes away.
pub async fn leave<T>(request: JoinHandle<T>) {
    request.abort();
    let ended = request.await;
    assert!(ended.is_err_and(|error| error.is_cancelled()), "the request was still waiting");
}
