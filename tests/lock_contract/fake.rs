//! The lock service for tests does what it is told.

use std::time::Duration;

use tower_token_refresh::{
    lock::{LockError, LockService},
    testing::FakeLock,
};

#[tokio::test(start_paused = true)]
async fn it_refuses_once_or_always() {
    let locks = FakeLock::new();
    locks.refuse_next();
    assert!(matches!(locks.acquire("a").await, Err(LockError::Unavailable(_))));
    assert!(locks.acquire("a").await.is_ok());
    locks.refuse(true);
    for _ in 0..3 {
        assert!(matches!(locks.health().await, Err(LockError::Unavailable(_))));
    }
    locks.refuse(false);
    assert!(locks.health().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_costs_the_callers_limit() {
    let locks = FakeLock::new();
    locks.stand_still(true);
    let limit = Duration::from_secs(3);
    assert!(matches!(locks.acquire_within("a", limit).await, Err(LockError::Timeout { .. })));
    let (waiting, again) = (locks.clone(), tokio::time::Duration::from_secs(60));
    let waiting = tokio::spawn(async move { waiting.acquire_within("a", again).await });
    locks.stand_still(false);
    assert!(waiting.await.expect("no panic").is_ok());
}

#[tokio::test(start_paused = true)]
async fn it_takes_its_time() {
    let locks = FakeLock::new();
    locks.delay(Duration::from_secs(5));
    assert!(matches!(
        locks.acquire_within("a", Duration::from_secs(4)).await,
        Err(LockError::Timeout { .. })
    ));
    assert!(locks.acquire_within("a", Duration::from_secs(6)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_lost_is_free_for_others() {
    let locks = FakeLock::new();
    assert!(!locks.lose("a"), "nobody holds it");
    let guard = locks.acquire("a").await.expect("free");
    assert!(locks.lose("a"));
    guard.lost().await;
    assert!(!guard.is_held());
    let other = locks.try_acquire("a").await.expect("an answer").expect("free");
    assert!(matches!(guard.release().await, Err(LockError::Lost)));
    assert!(other.is_held());
}
