//! A world whose provider tells who has logged out.

use std::ops::Deref;

use axum::{Router, body::Body};
use http::{Request, header};
use serde_json::Value;
use tower_sessions::{MemoryStore, SessionStore, session::Id};
use tower_token_refresh::{
    ClientAuth, TokenEndpoint, TokenRefresher, TokenRefresherBuilder, TokenSet,
    testing::{ManualClock, StrictIssuer},
    tower_sessions,
};

use uuid::Uuid;

use support::{
    LIFE, World,
    http::{Answer, ask},
    seal, sqlite,
    store::ScriptedStore,
};

pub const PATH: &str = "/back-channel";

/// A world whose index lies in the session store, but behind gates of its own.
pub struct Told {
    pub world: World,
    pub index: ScriptedStore,
    /// What the index's ids are made with: another one for each world, as tests may share a Redis.
    pub index_key: [u8; 32],
}

impl Deref for Told {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

/// Runs each test on every store, and with entries that are sealed.
macro_rules! on_each_store {
    ($(async fn $name:ident($told:ident: Told) $body:block)*) => {$(
        async fn $name($told: $crate::world::Told) $body

        mod $name {
            use $crate::world::Told;

            #[tokio::test]
            async fn on_memory() {
                super::$name(Told::on_memory()).await;
            }

            #[tokio::test]
            async fn on_sqlite() {
                super::$name(Told::on_sqlite().await).await;
            }

            #[tokio::test]
            async fn on_memory_sealed() {
                super::$name(Told::on_memory_sealed()).await;
            }

            #[tokio::test]
            #[ignore = "needs Redis: tests/services/run redis -- cargo test --test back_channel -- --include-ignored on_redis"]
            async fn on_redis() {
                super::$name(Told::on_redis().await).await;
            }

            #[tokio::test]
            #[ignore = "needs PostgreSQL: tests/services/run postgres -- cargo test --test back_channel -- --include-ignored on_postgres"]
            async fn on_postgres() {
                super::$name(Told::on_postgres().await).await;
            }
        }
    )*};
}
pub(crate) use on_each_store;

impl Told {
    pub fn on_memory() -> Self {
        Self::on(MemoryStore::default(), |builder| builder)
    }

    pub fn on_memory_sealed() -> Self {
        Self::on(MemoryStore::default(), |builder| builder.seal_with(seal::keys()))
    }

    pub async fn on_sqlite() -> Self {
        Self::on(sqlite().await, |builder| builder)
    }

    pub fn on(
        store: impl SessionStore + Clone,
        configure: impl FnOnce(TokenRefresherBuilder) -> TokenRefresherBuilder,
    ) -> Self {
        let clock = ManualClock::new();
        let issuer =
            StrictIssuer::builder().clock(clock.clock()).access_token_lifetime(LIFE).build();
        let (store, index) = (ScriptedStore::new(store.clone()), ScriptedStore::new(store));
        let index_key = random_key();
        let refresher = refresher(&issuer, &clock, &store, (&index, index_key), configure);
        Self { world: World { issuer, clock, store, refresher, keys: None }, index, index_key }
    }

    /// Another process on the same stores, or this one after a restart.
    pub fn restarted(&self) -> TokenRefresher {
        let index = (&self.index, self.index_key);
        refresher(&self.issuer, &self.clock, &self.store, index, |builder| builder)
    }

    /// Logs in with this token response; gives the session's id.
    pub async fn log_in_with(&self, tokens: Value) -> Id {
        let session = self.session_with(None, None);
        let set = TokenSet::from_response(tokens).expect("a token set");
        self.refresher.log_in(&session, set).await.expect("logged in");
        session.id().expect("saved")
    }

    /// A login: its session's id and the `sid` of the browser's session at the provider.
    pub async fn log_in_somewhere(&self, user: &str) -> (Id, String) {
        let tokens = self.issuer.log_in(user);
        let sid = sid_of(&tokens);
        (self.log_in_with(tokens).await, sid)
    }

    pub async fn post(&self, token: &str) -> Answer {
        post_to(&self.refresher, token).await
    }

    /// As [`end_sid`](Self::end_sid), told to a process that knows nothing but what is stored.
    pub async fn end_sid_after_a_restart(&self, sid: &str) -> Answer {
        post_to(&self.restarted(), &self.issuer.logout_token(None, Some(sid))).await
    }

    /// The provider ends a session, which it says to us.
    pub async fn end_sid(&self, sid: &str) -> Answer {
        self.post(&self.issuer.logout_token(None, Some(sid))).await
    }

    pub async fn end_user(&self, user: &str) -> Answer {
        self.post(&self.issuer.logout_token(Some(user), None)).await
    }

    /// Records in the index: those that hold what no session holds.
    pub async fn index_records(&self) -> Vec<tower_sessions::session::Record> {
        self.index.records().await
    }
}

pub fn sid_of(tokens: &Value) -> String {
    tokens["session_state"].as_str().expect("the issuer names its session").to_owned()
}

pub fn refresher(
    issuer: &StrictIssuer,
    clock: &ManualClock,
    store: &ScriptedStore,
    (index, index_key): (&ScriptedStore, [u8; 32]),
    configure: impl FnOnce(TokenRefresherBuilder) -> TokenRefresherBuilder,
) -> TokenRefresher {
    let builder = TokenRefresher::builder(endpoint(issuer), store.clone())
        .clock(clock.clock())
        .back_channel_logout(index.clone(), index_key);
    configure(builder).build().expect("the settings agree")
}

fn random_key() -> [u8; 32] {
    let mut key = [0; 32];
    key[..16].copy_from_slice(Uuid::new_v4().as_bytes());
    key[16..].copy_from_slice(Uuid::new_v4().as_bytes());
    key
}

pub fn endpoint(issuer: &StrictIssuer) -> TokenEndpoint {
    TokenEndpoint::new(issuer.token_url(), ClientAuth::basic("web", "secret"))
        .issuer(issuer.issuer_url())
        .revocation_url(issuer.revocation_url())
        .jwks_url(issuer.jwks_url())
        .transport(issuer.transport())
}

pub fn app(refresher: &TokenRefresher) -> Router {
    Router::new().route(PATH, refresher.back_channel_logout().expect("it is turned on"))
}

pub async fn post_to(refresher: &TokenRefresher, token: &str) -> Answer {
    ask(&app(refresher), form(&format!("logout_token={token}"))).await
}

pub fn form(body: &str) -> Request<Body> {
    Request::post(PATH)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(body.to_owned()))
        .expect("a request")
}
