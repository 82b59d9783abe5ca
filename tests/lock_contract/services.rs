//! The services that the contract is run on: three processes each, that share a corner of their
//! own.

use std::{sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, FutureExt};
use support::stores;
use tower_token_refresh::{
    Redis,
    lock::{LocalLock, LockService, PostgresLock, RedisLock, SqliteLock},
};
use uuid::Uuid;

/// Shorter than in production, so that a test can wait for its end.
pub const LEASE: Duration = Duration::from_millis(900);

/// Three processes that share their locks. One that is local is a process.
pub struct Processes {
    pub services: [Arc<dyn LockService>; 3],
    /// Whether the lock ends with its lease.
    pub leases: bool,
    /// How many keys the server has.
    pub left_behind: Box<dyn Fn() -> BoxFuture<'static, usize> + Send + Sync>,
}

#[expect(clippy::unused_async, reason = "as the others, which wait for a server")]
pub async fn local() -> Processes {
    let one = LocalLock::new();
    let services = [(); 3].map(|()| Arc::new(one.clone()) as Arc<dyn LockService>);
    Processes { services, leases: false, left_behind: Box::new(|| Box::pin(async { 0 })) }
}

pub async fn sqlite() -> Processes {
    let pool = stores::sqlite_file().await;
    let lock = || SqliteLock::new(pool.clone()).lease(LEASE);
    lock().migrate().await.expect("the table is created");
    let services = [(); 3].map(|()| Arc::new(lock()) as Arc<dyn LockService>);
    let left_behind = Box::new(move || {
        let pool = pool.clone();
        async move { stores::rows_in_sqlite(&pool, &["lock_leases"]).await }.boxed()
    });
    Processes { services, leases: true, left_behind }
}

pub async fn redis() -> Processes {
    let prefix = Uuid::new_v4().simple().to_string();
    let mut services = Vec::new();
    for _ in 0..3 {
        // A connection of its own, as another process has.
        let redis = Redis::connect(&stores::redis_url()).await.expect("Redis answers");
        let lock = RedisLock::new(&redis.with_prefix(&prefix)).lease(LEASE);
        services.push(Arc::new(lock) as Arc<dyn LockService>);
    }
    let left_behind = Box::new(move || {
        let keys = stores::ask_redis(&["KEYS", &format!("{prefix}:*")]);
        async move { keys.len() }.boxed()
    });
    Processes { services: services.try_into().expect("three"), leases: true, left_behind }
}

pub async fn postgres() -> Processes {
    let pool = stores::postgres_schema().await;
    let lock = || PostgresLock::new(pool.clone()).lease(LEASE);
    lock().migrate().await.expect("the table is created");
    let services = [(); 3].map(|()| Arc::new(lock()) as Arc<dyn LockService>);
    let left_behind = Box::new(move || {
        let pool = pool.clone();
        async move { stores::rows_in_postgres(&pool, &["lock_leases"]).await }.boxed()
    });
    Processes { services, leases: true, left_behind }
}

/// A key that no other test uses.
pub fn key() -> String {
    Uuid::new_v4().to_string()
}

/// Runs each promise on every service.
#[macro_export]
macro_rules! on_every_service {
    ($(async fn $name:ident($processes:ident: Processes) $body:block)*) => {$(
        async fn $name($processes: $crate::services::Processes) $body

        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn local() {
                super::$name($crate::services::local().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                super::$name($crate::services::sqlite().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = "needs Redis: tests/services/run redis -- cargo test --test lock_contract \
                        redis -- --include-ignored"]
            async fn redis() {
                super::$name($crate::services::redis().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = "needs PostgreSQL: tests/services/run postgres -- cargo test --test \
                        lock_contract postgres -- --include-ignored"]
            async fn postgres() {
                super::$name($crate::services::postgres().await).await;
            }
        }
    )*};
}
