//! The world a test takes place in: a strict issuer, a clock that moves when told, and a session store with gates.
#![allow(
    dead_code,
    unused_macros,
    unused_imports,
    unreachable_pub,
    reason = "each test file uses its own part"
)]

pub mod browser;
pub mod http;
pub mod log;
pub mod races;
pub mod seal;
pub mod store;
pub mod variants;

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use store::ScriptedStore;
use tokio::task::JoinHandle;
use tower_sessions::{
    Expiry, MemoryStore, Session, SessionStore,
    session::{Id, Record},
};
use tower_sessions_sqlx_store::{SqliteStore, sqlx::sqlite::SqlitePoolOptions};
use tower_token_refresh::{
    AccessToken, ClientAuth, RefreshError, RefreshPolicy, SealKeys, TokenEndpoint, TokenRefresher,
    TokenRefresherBuilder, TokenSet,
    testing::{ManualClock, StrictIssuer},
    tower_sessions,
};

/// The key a refresher keeps its tokens under unless told otherwise.
pub const KEY: &str = "oauth.tokens";
/// How long an access token of the test issuer lives.
pub const LIFE: Duration = Duration::from_secs(60);

/// Runs each test on every store that works without a service, and with entries that are sealed.
macro_rules! on_every_store {
    ($($(#[$meta:meta])* async fn $name:ident($world:ident: World) $body:block)*) => {$(
        async fn $name($world: $crate::common::World) $body

        $(#[$meta])*
        mod $name {
            #[tokio::test]
            async fn on_memory() {
                super::$name($crate::common::World::on_memory()).await;
            }

            #[tokio::test]
            async fn on_sqlite() {
                super::$name($crate::common::World::on_sqlite().await).await;
            }

            #[tokio::test]
            async fn on_memory_sealed() {
                super::$name($crate::common::World::on_memory_sealed()).await;
            }
        }
    )*};
}
pub(crate) use on_every_store;

pub struct World {
    pub issuer: StrictIssuer,
    pub clock: ManualClock,
    pub store: ScriptedStore,
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

    pub fn on(
        store: impl SessionStore,
        configure: impl FnOnce(TokenRefresherBuilder) -> TokenRefresherBuilder,
    ) -> Self {
        let clock = ManualClock::new();
        let issuer =
            StrictIssuer::builder().clock(clock.clock()).access_token_lifetime(LIFE).build();
        let store = ScriptedStore::new(store);
        let refresher = refresher(&issuer, &clock, &store, configure);
        Self { issuer, clock, store, refresher, keys: None }
    }

    /// Another process on the same store and provider, or this one after a restart.
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
        refresher(&self.issuer, &self.clock, &self.store, configure)
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
        let set = TokenSet::from_response(self.issuer.log_in(user))
            .expect("the issuer's answer is a token set");
        self.refresher.log_in(session, set).await.expect("logged in");
    }

    /// Time passes until every access token issued so far has expired.
    pub fn expire(&self) {
        self.clock.advance(LIFE);
    }

    /// What the store itself holds under `id`.
    pub async fn stored(&self, id: Id) -> Option<Record> {
        self.store.peek(id).await
    }

    pub async fn stored_entry(&self, id: Id) -> StoredEntry {
        match self.stored(id).await {
            None => StoredEntry::NoRecord,
            Some(record) => {
                let entry = StoredEntry::of(&record);
                if let (StoredEntry::Live { .. }, Some(_)) = (&entry, &self.keys) {
                    let text = record.data[KEY].as_str().expect("an entry is a string");
                    assert!(text.starts_with("s2."), "it is stored sealed");
                }
                entry
            }
        }
    }

    /// The refresh token that the store holds under `id`.
    pub async fn stored_refresh_token(&self, id: Id) -> Option<String> {
        match self.stored_entry(id).await {
            StoredEntry::Live { payload, .. } => {
                Some(payload["refresh_token"].as_str()?.to_owned())
            }
            _ => None,
        }
    }

    /// No refresh token was presented twice, and the login behind the record is still good at the provider.
    pub async fn assert_logged_in(&self, id: Id) {
        let token = self.stored_refresh_token(id).await.expect("the record holds a refresh token");
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

fn refresher(
    issuer: &StrictIssuer,
    clock: &ManualClock,
    store: &ScriptedStore,
    configure: impl FnOnce(TokenRefresherBuilder) -> TokenRefresherBuilder,
) -> TokenRefresher {
    let endpoint = TokenEndpoint::new(issuer.token_url(), ClientAuth::basic("web", "secret"))
        .issuer(issuer.issuer_url())
        .revocation_url(issuer.revocation_url())
        .transport(issuer.transport());
    let builder = TokenRefresher::builder(endpoint, store.clone()).clock(clock.clock());
    configure(builder).build().expect("the settings agree")
}

/// How the tokens lie in a record, read the way a stranger would read it.
#[derive(Debug, Clone, PartialEq)]
pub enum StoredEntry {
    NoRecord,
    NoEntry,
    Tombstone { grant: String },
    Live { grant: String, generation: u64, payload: Value },
}

impl StoredEntry {
    pub fn of(record: &Record) -> Self {
        let Some(text) = record.data.get(KEY).and_then(Value::as_str) else {
            return Self::NoEntry;
        };
        let mut parts = text.splitn(5, '.');
        let version = parts.next();
        assert!(
            matches!(version, Some("s1" | "s2")),
            "an entry in the store begins with its version"
        );
        let grant = parts.next().expect("a grant").to_owned();
        match parts.next().expect("a generation or the end") {
            "ended" => Self::Tombstone { grant },
            generation => Self::Live {
                grant,
                generation: generation.parse().expect("a number"),
                payload: match version {
                    Some("s2") => seal::open(text),
                    _ => serde_json::from_str(parts.nth(1).expect("a payload")).expect("JSON"),
                },
            },
        }
    }

    pub fn generation(&self) -> Option<u64> {
        match self {
            Self::Live { generation, .. } => Some(*generation),
            _ => None,
        }
    }
}

/// The generation that a request's own session shows.
pub async fn shown_generation(session: &Session) -> Option<u64> {
    let value = session.get_value(KEY).await.expect("the session loads")?;
    value.as_str()?.split('.').nth(2)?.parse().ok()
}

/// Polls everything that can run until nothing moves any more: no task of this thread's runtime, and no call of a store that works
/// on a thread of its own.
pub async fn settle() {
    let mut quiet = 0;
    while quiet < 100 {
        tokio::task::yield_now().await;
        quiet = if store::is_busy() { 0 } else { quiet + 1 };
    }
}
