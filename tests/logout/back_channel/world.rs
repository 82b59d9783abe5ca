//! A world whose provider tells who has logged out.

use std::ops::Deref;

use axum::{Router, body::Body};
use http::{Request, header};
use serde_json::Value;
use support::{
    LIFE, ScriptedSessions, ScriptedTokens, StoredTokens, TokenOp, World,
    http::{Answer, ask},
    seal, sqlite, stores,
};
use tokio::task::JoinHandle;
use tower_sessions::{MemoryStore, SessionStore, session::Id};
use tower_token_refresh::{
    RefreshErrorKind, TokenEndpoint, TokenRefresher, TokenRefresherBuilder, TokenSet,
    testing::{ManualClock, MemoryTokens, StrictIssuer},
    token_store::InSessions,
    tower_sessions,
};
use uuid::Uuid;

pub const PATH: &str = "/back-channel";

pub struct Told {
    pub world: World,
    /// What the token store finds logins by is made with it: another one for each world, as tests
    /// may share a Redis.
    pub key: [u8; 32],
}

impl Deref for Told {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

/// Runs each test on every store, and with records that are sealed.
macro_rules! on_each_store {
    ($(async fn $name:ident($told:ident: Told) $body:block)*) => {$(
        async fn $name($told: $crate::back_channel::world::Told) $body

        mod $name {
            use $crate::back_channel::world::Told;

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
            async fn on_swapping() {
                super::$name(Told::on_swapping()).await;
            }

            #[tokio::test]
            #[ignore = "needs Redis: tests/services/run redis -- cargo test --test logout -- --include-ignored on_redis"]
            async fn on_redis() {
                super::$name(Told::on_redis().await).await;
            }

            #[tokio::test]
            #[ignore = "needs PostgreSQL: tests/services/run postgres -- cargo test --test logout -- --include-ignored on_postgres"]
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
        let told = Self::on(MemoryStore::default(), |builder| builder.seal_with(seal::keys()));
        let world = World { keys: Some(seal::keys()), ..told.world };
        Self { world, key: told.key }
    }

    pub async fn on_sqlite() -> Self {
        Self::on(sqlite().await, |builder| builder)
    }

    pub fn on_swapping() -> Self {
        let sessions = ScriptedSessions::new(MemoryStore::default());
        Self::over(sessions, ScriptedTokens::new(MemoryTokens::new()), |builder| builder)
    }

    pub async fn on_redis() -> Self {
        Self::on(stores::redis().await, |builder| builder)
    }

    pub async fn on_postgres() -> Self {
        Self::on(stores::postgres().await, |builder| builder)
    }

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
        let key = random_key();
        let refresher = configure(builder(&issuer, &clock, &sessions, &tokens))
            .back_channel_logout(key)
            .build()
            .expect("the settings agree");
        Self { world: World { issuer, clock, sessions, tokens, refresher, keys: None }, key }
    }

    /// Another process on the same stores, or this one after a restart.
    pub fn restarted(&self) -> TokenRefresher {
        let builder = builder(&self.issuer, &self.clock, &self.sessions, &self.tokens);
        let builder = match &self.keys {
            Some(keys) => builder.seal_with(keys.clone()),
            None => builder,
        };
        builder.back_channel_logout(self.key).build().expect("the settings agree")
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

    /// The same, in a task of its own.
    pub fn posting(&self, token: &str) -> JoinHandle<Answer> {
        let (refresher, token) = (self.refresher.clone(), token.to_owned());
        tokio::spawn(async move { post_to(&refresher, &token).await })
    }

    /// Posts it, and once more while the first one is at work.
    pub async fn post_again_at_work(&self, token: &str) {
        let ending = self.tokens.gate_before(TokenOp::End);
        let working = self.posting(token);
        ending.reached().await;
        assert_eq!(self.post(token).await.status, 503);
        ending.open();
        assert_eq!(working.await.unwrap().status, 200);
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

    /// Whether the login that the stored session points to has ended as the provider ends one:
    /// quietly, and with its sessions.
    pub async fn has_ended(&self, id: Id) -> bool {
        let ended =
            StoredTokens::Ended { why: "provider".into(), revoke: false, with_session: true };
        self.stored_tokens(id).await == ended
    }

    /// The login has ended, and nobody is logged in to its session.
    pub async fn assert_ended(&self, id: Id) {
        assert!(self.has_ended(id).await);
        let session = self.session(id);
        let error = self.refresher.valid_token(&session).await.expect_err("it has ended");
        assert_eq!(error.kind(), RefreshErrorKind::NoTokens);
        let shown = self.refresher.session_store().load(&id).await.expect("loads");
        assert!(shown.is_none_or(|record| record.data.is_empty()), "nothing else is left in it");
    }

    pub async fn assert_stands(&self, id: Id) {
        self.refresher.valid_token(&self.session(id)).await.expect("still logged in");
    }
}

pub fn sid_of(tokens: &Value) -> String {
    tokens["session_state"].as_str().expect("the issuer names its session").to_owned()
}

pub fn builder(
    issuer: &StrictIssuer,
    clock: &ManualClock,
    sessions: &ScriptedSessions,
    tokens: &ScriptedTokens,
) -> TokenRefresherBuilder {
    TokenRefresher::builder(endpoint(issuer), sessions.clone())
        .token_store(tokens.clone())
        .clock(clock.clock())
}

fn random_key() -> [u8; 32] {
    let mut key = [0; 32];
    key[..16].copy_from_slice(Uuid::new_v4().as_bytes());
    key[16..].copy_from_slice(Uuid::new_v4().as_bytes());
    key
}

pub fn endpoint(issuer: &StrictIssuer) -> TokenEndpoint {
    support::endpoint(issuer).jwks_url(issuer.jwks_url())
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
