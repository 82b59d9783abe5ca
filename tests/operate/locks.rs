//! What a lock measures.

use std::time::Duration;

use support::{World, scrape::Scrape, stores};
use tower_token_refresh::{
    lock::{LocalLock, LockService, SqliteLock},
    operate::Probe,
};

const ACQUIRE: &str = "token_refresh_lock_acquire_duration_seconds_count";
const HELD: &str = "token_refresh_locks_held";

#[tokio::test(start_paused = true)]
async fn a_lock_says_how_often_it_was_given_and_how_many_are_held() {
    let scrape = Scrape::of_this_thread();
    let local = |outcome| [("backend", "local"), ("outcome", outcome)];
    let locks = LocalLock::new();
    let guard = locks.acquire("report").await.unwrap();
    let other = locks.acquire("bill").await.unwrap();
    assert_eq!(scrape.value(HELD, &[("backend", "local")]), 2.0);
    assert!(locks.try_acquire("report").await.unwrap().is_none());
    assert!(locks.acquire_within("report", Duration::from_secs(1)).await.is_err());
    assert!(locks.acquire("").await.is_err());
    for (outcome, times) in
        [("acquired", 2.0), ("taken", 1.0), ("timeout", 1.0), ("invalid_key", 1.0)]
    {
        assert_eq!(scrape.value(ACQUIRE, &local(outcome)), times, "{outcome}");
    }
    guard.release().await.unwrap();
    drop(other);
    assert_eq!(scrape.value(HELD, &[("backend", "local")]), 0.0);
}

/// A probe comes every few seconds, and would hide how often the application waits for a lock.
#[tokio::test]
async fn a_health_check_takes_a_key_and_is_not_measured() {
    let scrape = Scrape::of_this_thread();
    let pool = stores::sqlite_file().await;
    let lock = SqliteLock::new(pool.clone());
    lock.migrate().await.expect("a table");
    let world = World::swapping_with(|builder| builder.lock(lock.clone()));
    let health = async || world.refresher.health().await.lock.expect("there is one");
    assert!(matches!(health().await, Probe::Ok { .. }));
    stores::execute_in_sqlite(&pool, "ALTER TABLE lock_leases RENAME TO gone").await;
    assert!(matches!(health().await, Probe::Failed { .. }), "it is more than a ping");
    assert_eq!((scrape.value(ACQUIRE, &[]), scrape.value(HELD, &[])), (0.0, 0.0));
    stores::execute_in_sqlite(&pool, "ALTER TABLE gone RENAME TO lock_leases").await;
    let guard = lock.acquire("report").await.expect("free");
    assert_eq!((scrape.value(ACQUIRE, &[]), scrape.value(HELD, &[])), (1.0, 1.0));
    guard.release().await.expect("released");
}
