//! The world a test takes place in: a strict issuer, a clock that moves when told, and stores with
//! gates.

pub mod bff;
pub mod browser;
pub mod demo;
pub mod failover;
pub mod http;
pub mod log;
pub mod program;
pub mod providers;
pub mod races;
pub mod scrape;
pub mod script;
pub mod seal;
pub mod sessions;
pub mod stores;
pub mod tab;
pub mod tokens;
pub mod variants;
pub mod way;

use std::{sync::Arc, time::Duration};

pub use script::{Gate, settle};
use serde_json::Value;
pub use sessions::{Op, ScriptedSessions};
pub use tokens::{ScriptedTokens, StoredTokens, TokenOp};
use tokio::task::JoinHandle;
use tower_sessions::{
    Expiry, MemoryStore, Session, SessionStore,
    session::{Id, Record},
};
use tower_sessions_sqlx_store::{SqliteStore, sqlx::sqlite::SqlitePoolOptions};
use tower_token_refresh::{
    AccessToken, ClientAuth, RefreshError, TokenEndpoint, TokenRefresher, TokenRefresherBuilder,
    TokenSet,
    testing::{ManualClock, MemoryTokens, StrictIssuer},
    token_store::{InSessions, SealKeys},
    tower_sessions,
};

/// The key that a session's pointer to its login lies under, unless the refresher is told
/// otherwise.
pub const KEY: &str = "oauth.login";
/// How long an access token of the test issuer lives.
pub const LIFE: Duration = Duration::from_secs(60);

/// Runs each test on every store that works without a service: token records in the session store
/// (in memory, sealed, and in SQLite), and in a store that compares and swaps.
#[macro_export]
macro_rules! on_every_store {
    ($($(#[$meta:meta])* async fn $name:ident($world:ident: World) $body:block)*) => {$(
        async fn $name($world: $crate::World) $body

        $(#[$meta])*
        mod $name {
            #[tokio::test]
            async fn on_memory() {
                super::$name($crate::World::on_memory()).await;
            }

            #[tokio::test]
            async fn on_sqlite() {
                super::$name($crate::World::on_sqlite().await).await;
            }

            #[tokio::test]
            async fn on_memory_sealed() {
                super::$name($crate::World::on_memory_sealed()).await;
            }

            #[tokio::test]
            async fn on_swapping() {
                super::$name($crate::World::on_swapping()).await;
            }
        }
    )*};
}

pub struct World {
    pub issuer: StrictIssuer,
    pub clock: ManualClock,
    /// The session store. Calls for token records in it pass unseen.
    pub sessions: ScriptedSessions,
    /// The token store, wherever it keeps its records.
    pub tokens: ScriptedTokens,
    pub refresher: TokenRefresher,
    /// What the refresher seals with, and this process after a restart.
    pub keys: Option<SealKeys>,
}

impl World {
    pub fn on_memory() -> Self {
        Self::on(MemoryStore::default(), |builder| builder)
    }

    pub fn on_memory_sealed() -> Self {
        Self::sealed_on(MemoryStore::default())
    }

    /// Token records lie in a store that compares and swaps.
    pub fn on_swapping() -> Self {
        Self::swapping_with(|builder| builder)
    }

    pub fn swapping_with(
        configure: impl FnOnce(TokenRefresherBuilder) -> TokenRefresherBuilder,
    ) -> Self {
        let sessions = ScriptedSessions::new(MemoryStore::default());
        let tokens = ScriptedTokens::new(MemoryTokens::new());
        Self::over(sessions, tokens, configure)
    }

    pub fn sealed_on(store: impl SessionStore) -> Self {
        let world = Self::on(store, |builder| builder.seal_with(seal::keys()));
        Self { keys: Some(seal::keys()), ..world }
    }

    pub async fn on_sqlite() -> Self {
        Self::on(sqlite().await, |builder| builder)
    }

    pub fn with(configure: impl FnOnce(TokenRefresherBuilder) -> TokenRefresherBuilder) -> Self {
        Self::on(MemoryStore::default(), configure)
    }

    /// Sessions and token records in `store`.
    pub fn on(
        store: impl SessionStore,
        configure: impl FnOnce(TokenRefresherBuilder) -> TokenRefresherBuilder,
    ) -> Self {
        let sessions = ScriptedSessions::new(store);
        let tokens = ScriptedTokens::new(InSessions::new(sessions.clone()));
        Self::over(sessions, tokens, configure)
    }

    pub fn over(
        sessions: ScriptedSessions,
        tokens: ScriptedTokens,
        configure: impl FnOnce(TokenRefresherBuilder) -> TokenRefresherBuilder,
    ) -> Self {
        let clock = ManualClock::new();
        let issuer =
            StrictIssuer::builder().clock(clock.clock()).access_token_lifetime(LIFE).build();
        let refresher = refresher(&issuer, &clock, &sessions, &tokens, configure);
        Self { issuer, clock, sessions, tokens, refresher, keys: None }
    }

    /// Another process on the same stores and provider, or this one after a restart.
    pub fn restarted(&self) -> TokenRefresher {
        self.restarted_with(|builder| match &self.keys {
            Some(keys) => builder.seal_with(keys.clone()),
            None => builder,
        })
    }

    pub fn restarted_with(
        &self,
        configure: impl FnOnce(TokenRefresherBuilder) -> TokenRefresherBuilder,
    ) -> TokenRefresher {
        refresher(&self.issuer, &self.clock, &self.sessions, &self.tokens, configure)
    }

    /// A session as a request with this cookie would have it.
    pub fn session(&self, id: Id) -> Session {
        self.session_with(Some(id), None)
    }

    /// A request that has read its session, and holds a snapshot of it from now on.
    pub async fn request(&self, id: Id) -> Session {
        let session = self.session(id);
        session.get_value(KEY).await.expect("the session loads");
        session
    }

    /// Asks for a token in a task of its own, as another connection would.
    pub fn ask(&self, session: &Session) -> JoinHandle<Result<AccessToken, RefreshError>> {
        let (refresher, session) = (self.refresher.clone(), session.clone());
        tokio::spawn(async move { refresher.valid_token(&session).await })
    }

    pub fn session_with(&self, id: Option<Id>, expiry: Option<Expiry>) -> Session {
        Session::new(id, Arc::new(self.refresher.session_store()), expiry)
    }

    /// Logs `user` in on a new session and gives its id.
    pub async fn log_in(&self, user: &str) -> Id {
        let session = self.session_with(None, None);
        self.log_in_on(&session, user).await;
        session.id().expect("a saved session has an id")
    }

    pub async fn log_in_on(&self, session: &Session, user: &str) {
        self.refresher.log_in(session, self.token_set(user)).await.expect("logged in");
    }

    /// What the provider answers to a login of `user`.
    pub fn token_set(&self, user: &str) -> TokenSet {
        TokenSet::from_response(self.issuer.log_in(user))
            .expect("the issuer's answer is a token set")
    }

    /// Time passes until every access token issued so far has expired.
    pub fn expire(&self) {
        self.clock.advance(LIFE);
    }

    /// The session that the store holds under `id`.
    pub async fn stored(&self, id: Id) -> Option<Record> {
        self.sessions.peek(id).await
    }

    /// The grant id that the stored session points to.
    pub async fn pointer(&self, id: Id) -> Option<String> {
        let record = self.stored(id).await?;
        let pointer = record.data.get(KEY)?.as_str().expect("a pointer is a string");
        Some(pointer.strip_prefix("g1.").expect("a pointer begins with its version").to_owned())
    }

    /// The tokens that the session under `id` points to.
    pub async fn stored_tokens(&self, id: Id) -> StoredTokens {
        match self.pointer(id).await {
            None => StoredTokens::NoPointer,
            Some(grant) => self.tokens_of(&grant).await,
        }
    }

    /// The token record of a grant.
    pub async fn tokens_of(&self, grant: &str) -> StoredTokens {
        let key = tokens::key_of(grant);
        let tokens = StoredTokens::of(key, self.tokens.peek(key).await.as_ref());
        if let (StoredTokens::Live { sealed, .. }, Some(_)) = (&tokens, &self.keys) {
            assert!(sealed, "it is stored sealed");
        }
        tokens
    }

    /// The refresh token that the session under `id` points to.
    pub async fn stored_refresh_token(&self, id: Id) -> Option<String> {
        match self.stored_tokens(id).await {
            StoredTokens::Live { payload, .. } => {
                Some(payload["refresh_token"].as_str()?.to_owned())
            }
            _ => None,
        }
    }

    /// No refresh token was presented twice, and the login behind the session is still good at the
    /// provider.
    pub async fn assert_logged_in(&self, id: Id) {
        let token = self.stored_refresh_token(id).await.expect("there is a refresh token");
        assert!(
            self.issuer.is_refresh_token_live(&token),
            "the stored refresh token is live at the provider"
        );
        assert!(self.issuer.max_presented() <= 1, "no refresh token was presented twice");
    }
}

pub async fn sqlite() -> SqliteStore {
    // One connection: each connection to ":memory:" is a database of its own.
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect("sqlite::memory:")
        .await
        .expect("an in-memory database opens");
    let store = SqliteStore::new(pool);
    store.migrate().await.expect("the schema is created");
    store
}

pub fn endpoint(issuer: &StrictIssuer) -> TokenEndpoint {
    TokenEndpoint::new(issuer.token_url(), ClientAuth::basic("web", "secret"))
        .issuer(issuer.issuer_url())
        .revocation_url(issuer.revocation_url())
        .transport(issuer.transport())
}

fn refresher(
    issuer: &StrictIssuer,
    clock: &ManualClock,
    sessions: &ScriptedSessions,
    tokens: &ScriptedTokens,
    configure: impl FnOnce(TokenRefresherBuilder) -> TokenRefresherBuilder,
) -> TokenRefresher {
    let builder = TokenRefresher::builder(endpoint(issuer), sessions.clone())
        .token_store(tokens.clone())
        .clock(clock.clock());
    configure(builder).build().expect("the settings agree")
}

#[expect(clippy::disallowed_methods, reason = "tokio's own paused clock is what is measured")]
pub fn tokio_now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// The text of what a session holds under our key.
pub async fn shown_pointer(session: &Session) -> Option<String> {
    let value = session.get_value(KEY).await.expect("the session loads")?;
    value.as_str().map(str::to_owned)
}

/// A value of a session.
pub fn value(text: &str) -> Value {
    Value::from(text)
}
