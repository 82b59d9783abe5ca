//! The stores that the contract is run on, and the table of promises and stores.

use std::sync::Arc;

use support::{
    sessions::MARK,
    stores::{self, AnyStore},
};
use tower_sessions::{
    SessionStore,
    session::{Id, Record},
};
use tower_token_refresh::{
    testing::MemoryTokens,
    token_store::{InSessions, RecordKey, TokenStore},
    tower_sessions,
};

/// A token store in some session store.
pub struct Home {
    pub tokens: InSessions,
    sessions: AnyStore,
}

impl Home {
    fn over(sessions: AnyStore) -> Self {
        Self { tokens: InSessions::new(sessions.clone()), sessions }
    }

    /// The text of a record as it lies there.
    pub async fn text(&self, key: RecordKey) -> Option<String> {
        let record = self.sessions.load(&id_of(key)).await.expect("the store answers")?;
        Some(record.data[MARK].as_str().expect("a record is a text").to_owned())
    }

    /// Puts anything into the place of a record.
    pub async fn plant(&self, key: RecordKey, value: serde_json::Value) {
        self.plant_session(key, MARK, value).await;
    }

    /// Puts a session into the place of a record.
    pub async fn plant_session(&self, key: RecordKey, name: &str, value: serde_json::Value) {
        let expiry_date = super::records::keep_until().into();
        let data = [(name.to_owned(), value)].into();
        let mut record = Record { id: id_of(key), data, expiry_date };
        self.sessions.create(&mut record).await.expect("created");
        assert_eq!(record.id, id_of(key), "the place was free");
    }
}

/// The id of the record of `key` in a session store.
pub fn id_of(key: RecordKey) -> Id {
    Id(i128::from_be_bytes(key.to_bytes()))
}

#[expect(clippy::unused_async, reason = "as the others, which wait for a server")]
pub async fn memory_tokens() -> Arc<dyn TokenStore> {
    Arc::new(MemoryTokens::new())
}

pub async fn sqlite_tokens() -> Arc<dyn TokenStore> {
    Arc::new(stores::sqlite_tokens().await)
}

pub async fn redis_tokens() -> Arc<dyn TokenStore> {
    Arc::new(stores::redis_tokens().await)
}

pub async fn postgres_tokens() -> Arc<dyn TokenStore> {
    Arc::new(stores::postgres_tokens().await)
}

pub async fn memory() -> Home {
    Home::over(stores::memory().await)
}

pub async fn sqlite() -> Home {
    Home::over(stores::sqlite().await)
}

pub async fn redis() -> Home {
    Home::over(stores::redis().await)
}

pub async fn postgres() -> Home {
    Home::over(stores::postgres().await)
}

/// Runs each promise on every token store.
#[macro_export]
macro_rules! on_every_token_store {
    ($(async fn $name:ident($store:ident: &dyn TokenStore) $body:block)*) => {$(
        async fn $name($store: &dyn TokenStore) $body

        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn in_memory() {
                super::$name(&*$crate::homes::memory_tokens().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn in_sqlite() {
                super::$name(&*$crate::homes::sqlite_tokens().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = "needs Redis: tests/services/run redis -- cargo test --test store_contract \
                        in_redis -- --include-ignored"]
            async fn in_redis() {
                super::$name(&*$crate::homes::redis_tokens().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = "needs PostgreSQL: tests/services/run postgres -- cargo test --test \
                        store_contract in_postgres -- --include-ignored"]
            async fn in_postgres() {
                super::$name(&*$crate::homes::postgres_tokens().await).await;
            }

            $crate::on_session_stores!(|home| super::$name(&home.tokens));
        }
    )*};
}

/// Runs each promise on every session store that holds token records.
#[macro_export]
macro_rules! on_every_home {
    ($(async fn $name:ident($home:ident: &Home) $body:block)*) => {$(
        async fn $name($home: &Home) $body

        mod $name {
            $crate::on_session_stores!(|home| super::$name(&home));
        }
    )*};
}

/// The tests of one promise, on each session store.
#[macro_export]
macro_rules! on_session_stores {
    (|$home:ident| $promise:expr) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn in_sessions_in_memory() {
            let $home = $crate::homes::memory().await;
            $promise.await;
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn in_sessions_in_sqlite() {
            let $home = $crate::homes::sqlite().await;
            $promise.await;
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        #[ignore = "needs Redis: tests/services/run redis -- cargo test --test store_contract \
                    in_sessions_in_redis -- --include-ignored"]
        async fn in_sessions_in_redis() {
            let $home = $crate::homes::redis().await;
            $promise.await;
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        #[ignore = "needs PostgreSQL: tests/services/run postgres -- cargo test --test \
                    store_contract in_sessions_in_postgres -- --include-ignored"]
        async fn in_sessions_in_postgres() {
            let $home = $crate::homes::postgres().await;
            $promise.await;
        }
    };
}
