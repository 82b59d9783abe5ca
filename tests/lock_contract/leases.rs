//! Locks at a server end with their leases, and are renewed until then.

use std::time::Duration;

use support::stores;
use tower_sessions_sqlx_store::sqlx::postgres::PgPoolOptions;
use tower_token_refresh::{
    Redis,
    lock::{LockError, LockService, PostgresLock, RedisLock, SqliteLock},
};

use crate::services::{LEASE, key};

/// What holds for a lease, at a server whose leases can be taken away.
async fn a_lease_is_renewed_for_as_long_as_its_guard_lives(service: impl LockService) {
    let key = key();
    let guard = service.acquire(&key).await.expect("free");
    tokio::time::sleep(LEASE * 2).await;
    assert!(guard.is_held());
    assert!(service.try_acquire(&key).await.expect("an answer").is_none());
    guard.release().await.expect("held to the end");
}

/// Somebody else has the key all of a sudden.
async fn a_loss_is_noticed_within_a_third_of_the_lease(
    service: impl LockService,
    take_away: impl AsyncFnOnce(),
) {
    let guard = service.acquire(&key()).await.expect("free");
    take_away().await;
    tokio::time::timeout(LEASE / 3 + Duration::from_millis(200), guard.lost())
        .await
        .expect("noticed");
    assert!(!guard.is_held());
    assert!(matches!(guard.release().await, Err(LockError::Lost)));
}

/// The process dies: nothing is renewed any more.
async fn a_key_is_free_when_the_lease_of_a_dead_holder_ends(
    dead: impl LockService,
    other: impl LockService,
) {
    let key = key();
    let held = key.clone();
    let process = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (process, guard) = tokio::task::spawn_blocking(move || {
        let guard = process.block_on(async { dead.acquire(&held).await.expect("free") });
        (process, guard)
    })
    .await
    .expect("no panic");
    std::mem::forget(guard);
    process.shutdown_background();

    assert!(other.try_acquire(&key).await.expect("an answer").is_none());
    let waited = other.acquire_within(&key, LEASE * 3).await.expect("free after a while");
    assert!(waited.is_held());
}

mod sqlite {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_lease_is_renewed_for_as_long_as_its_guard_lives() {
        let lock = SqliteLock::new(stores::sqlite_file().await).lease(LEASE);
        lock.migrate().await.unwrap();
        super::a_lease_is_renewed_for_as_long_as_its_guard_lives(lock).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_loss_is_noticed_within_a_third_of_the_lease() {
        let pool = stores::sqlite_file().await;
        let lock = SqliteLock::new(pool.clone()).lease(LEASE);
        lock.migrate().await.unwrap();
        super::a_loss_is_noticed_within_a_third_of_the_lease(lock, async || {
            stores::execute_in_sqlite(&pool, "UPDATE lock_leases SET owner = x'00'").await;
        })
        .await;
    }
}

mod redis {
    use super::*;

    async fn lock() -> RedisLock {
        let redis = Redis::connect(&stores::redis_url()).await.expect("Redis answers");
        RedisLock::new(&redis.with_prefix(&key())).lease(LEASE)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "needs Redis: see tests/services/run"]
    async fn a_lease_is_renewed_for_as_long_as_its_guard_lives() {
        super::a_lease_is_renewed_for_as_long_as_its_guard_lives(lock().await).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "needs Redis: see tests/services/run"]
    async fn a_key_is_free_when_the_lease_of_a_dead_holder_ends() {
        let prefix = key();
        let url = stores::redis_url();
        let connect = async || {
            let redis = Redis::connect(&url).await.expect("Redis answers");
            RedisLock::new(&redis.with_prefix(&prefix)).lease(LEASE)
        };
        let (dead, other) = (connect().await, connect().await);
        super::a_key_is_free_when_the_lease_of_a_dead_holder_ends(dead, other).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "needs Redis: see tests/services/run"]
    async fn a_loss_is_noticed_within_a_third_of_the_lease() {
        let redis = Redis::connect(&stores::redis_url()).await.expect("Redis answers");
        let prefix = key();
        let lock = RedisLock::new(&redis.with_prefix(&prefix)).lease(LEASE);
        super::a_loss_is_noticed_within_a_third_of_the_lease(lock, async || {
            let keys = stores::ask_redis(&["KEYS", &format!("{prefix}:*")]);
            let [held] = &keys[..] else { panic!("one key: {keys:?}") };
            stores::ask_redis(&["SET", held, "another", "PX", "5000"]);
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "needs Redis: see tests/services/run"]
    async fn a_key_that_somebody_has_set_without_an_end_is_held_for_a_lease() {
        let redis = Redis::connect(&stores::redis_url()).await.expect("Redis answers");
        let prefix = key();
        let lock = RedisLock::new(&redis.with_prefix(&prefix)).lease(LEASE);
        let guard = lock.acquire("a key").await.expect("free");
        let [held] = &stores::ask_redis(&["KEYS", &format!("{prefix}:l:*")])[..] else { panic!() };
        guard.release().await.expect("held");
        stores::ask_redis(&["SET", held, "another"]);

        let waiting = tokio::time::timeout(LEASE / 3, lock.released("a key")).await;
        assert!(waiting.is_err(), "it is held");
        assert!(lock.try_acquire("a key").await.expect("an answer").is_none());
        let guard = lock.acquire_within("a key", LEASE * 3).await;
        assert!(guard.expect("free when that lease ends").is_held());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "needs Redis: see tests/services/run"]
    async fn keys_hashed_with_a_secret_are_others() {
        let redis = Redis::connect(&stores::redis_url()).await.expect("Redis answers");
        let redis = redis.with_prefix(&key());
        let plain = RedisLock::new(&redis);
        let secret = RedisLock::new(&redis).hash_keys_with(b"a secret");
        let key = key();
        let _guard = plain.acquire(&key).await.expect("free");
        assert!(secret.try_acquire(&key).await.expect("an answer").is_some());
    }
}

mod postgres {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "needs PostgreSQL: see tests/services/run"]
    async fn a_lease_is_renewed_for_as_long_as_its_guard_lives() {
        let lock = PostgresLock::new(stores::postgres_schema().await).lease(LEASE);
        lock.migrate().await.expect("the table is created");
        super::a_lease_is_renewed_for_as_long_as_its_guard_lives(lock).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "needs PostgreSQL: see tests/services/run"]
    async fn a_loss_is_noticed_within_a_third_of_the_lease() {
        let pool = stores::postgres_schema().await;
        let lock = PostgresLock::new(pool.clone()).lease(LEASE);
        lock.migrate().await.expect("the table is created");
        super::a_loss_is_noticed_within_a_third_of_the_lease(lock, async || {
            let steal = r"UPDATE lock_leases SET owner = '\x00'";
            stores::execute_in_postgres(&pool, steal).await;
        })
        .await;
    }

    /// The holder's process, its renewals and its connections are gone.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "needs PostgreSQL: see tests/services/run"]
    async fn a_key_is_free_when_the_lease_of_a_dead_holder_ends() {
        let pool = stores::postgres_schema().await;
        let other = PostgresLock::new(pool.clone()).lease(LEASE);
        other.migrate().await.expect("the table is created");
        let connect = PgPoolOptions::new().connect_lazy_with((*pool.connect_options()).clone());
        let dead = PostgresLock::new(connect).lease(LEASE);
        super::a_key_is_free_when_the_lease_of_a_dead_holder_ends(dead, other).await;
    }
}
