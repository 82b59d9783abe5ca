//! A lock beside the mark: it saves looks at the store, and its troubles cost nobody a login.

use std::time::Duration;

use support::{TokenOp, log::Log, races::Station, settle};
use tower_token_refresh::{lock::LockService, testing::FakeLock};

use super::{Pair, ask, served};

fn everybody(_: &str) -> bool {
    true
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_lock_looks_at_the_store_once_it_is_free() {
    let pair = Pair::locked(&FakeLock::new(), everybody);
    let id = pair.logged_in().await;
    pair.world.expire();
    let flight = pair.world.flight_at(Station::BeforePost, id).await;
    let waiter = ask(&pair.other, id);
    settle().await;
    let looks = pair.way.calls(TokenOp::Load);

    let first = flight.land().await.expect("a token");
    let second = waiter.await.unwrap().expect("the same");

    assert_eq!(first.secret(), second.secret());
    assert_eq!(pair.way.calls(TokenOp::Load), looks + 1);
    assert_eq!(pair.posts(), 1);
}

#[tokio::test(start_paused = true)]
async fn refreshes_go_on_while_the_lock_cannot_be_had() {
    let (lock, log) = (FakeLock::new(), Log::of_this_thread());
    let pair = Pair::locked(&lock, everybody);
    let id = pair.logged_in().await;
    lock.refuse(true);
    for expiry in 1..=3 {
        pair.world.expire();
        let (one, other) = (ask(&pair.world.refresher, id), ask(&pair.other, id));
        let (one, other) = (one.await.unwrap().unwrap(), other.await.unwrap().unwrap());
        assert_eq!(one.secret(), other.secret());
        assert_eq!(pair.posts(), expiry);
    }
    assert!(log.text().contains("refreshes go on without the lock"), "{}", log.text());
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_lost_during_a_refresh_makes_no_second_one() {
    let lock = FakeLock::new();
    let pair = Pair::locked(&lock, everybody);
    let id = pair.logged_in().await;
    pair.world.expire();
    let flight = pair.world.flight_at(Station::BeforePost, id).await;
    assert!(lock.lose_all(), "the flight held it");
    let other = ask(&pair.other, id);
    settle().await;

    let (first, second) = (flight.land().await.unwrap(), other.await.unwrap().unwrap());

    assert_eq!(first.secret(), second.secret());
    assert_eq!(pair.posts(), 1, "the mark excludes");
}

#[tokio::test(start_paused = true)]
async fn a_lock_server_that_hangs_costs_as_much_as_a_mark_at_most() {
    let lock = FakeLock::new();
    let pair = Pair::locked(&lock, everybody);
    let id = pair.logged_in().await;
    pair.world.expire();
    lock.stand_still(true);
    let request = ask(&pair.world.refresher, id);
    tokio::time::sleep(super::DEADLINE + Duration::from_secs(1)).await;
    assert!(request.await.unwrap().is_err(), "it waits ten seconds");
    assert!(served(&pair.world.refresher, id).await.expires_at() > pair.world.clock.clock().now());
    assert_eq!(pair.posts(), 1);
}

#[tokio::test(start_paused = true)]
async fn users_who_are_not_accepted_do_without_it() {
    let lock = FakeLock::new();
    let pair = Pair::locked(&lock, |user| !user.ends_with("alice"));
    let id = pair.logged_in().await;
    lock.stand_still(true);
    pair.world.expire();
    served(&pair.world.refresher, id).await;
    assert_eq!(pair.posts(), 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_holds_it_when_all_is_done() {
    let lock = FakeLock::new();
    let pair = Pair::locked(&lock, everybody);
    let id = pair.logged_in().await;
    pair.world.expire();
    served(&pair.world.refresher, id).await;
    settle().await;
    assert!(!lock.lose_all(), "nobody holds anything");
    assert!(lock.health().await.is_ok());
}
