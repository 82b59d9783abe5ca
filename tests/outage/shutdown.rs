//! The end of a process: no refresh is cut off, none is started, and what the store has refused
//! gets one more chance.

use std::time::Duration;

use support::{TokenOp, World, races::Station, settle};
use tower_token_refresh::{Logout, RefreshErrorKind, testing::Endpoint};

use super::{
    marks::{ask_at, look_again},
    served,
};

const LONG: Duration = Duration::from_secs(20);

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_the_refresh_under_way_and_starts_no_other() {
    let world = World::on_memory();
    let (alice, bob) = (world.log_in("alice").await, world.log_in("bob").await);
    world.expire();
    let answer = world.issuer.gate_after(Endpoint::Token);
    let waiter = world.ask(&world.session(alice));
    answer.reached().await;
    let refresher = world.refresher.clone();
    let shutdown = tokio::spawn(async move { refresher.shutdown(LONG).await });
    settle().await;
    assert!(!shutdown.is_finished());

    let error = world.refresher.valid_token(&world.session(bob)).await.expect_err("no new refresh");
    assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
    answer.open();

    assert!(waiter.await.unwrap().is_ok());
    assert_eq!(shutdown.await.unwrap(), Ok(()));
    assert_eq!(world.stored_tokens(alice).await.generation(), Some(2));
    assert_eq!(world.issuer.refresh_requests(), 1);
}

#[tokio::test]
async fn fresh_tokens_are_served_and_nothing_is_refreshed_early_while_shutting_down() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.refresher.shutdown(LONG).await.unwrap();
    world.clock.advance(Duration::from_secs(50));
    assert!(world.refresher.valid_token(&world.session(id)).await.is_ok());
    settle().await;
    assert_eq!(world.issuer.refresh_requests(), 0);
}

#[tokio::test]
async fn a_log_out_works_to_the_end() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.refresher.shutdown(LONG).await.unwrap();
    world.refresher.log_out(&world.session(id), Logout::EndSession).await.expect("logged out");
    assert_eq!(world.stored(id).await, None);
    world.assert_dead_at_the_provider();
}

/// It would hold the process up for longer than the other one may take.
#[tokio::test(start_paused = true)]
async fn nobody_waits_any_longer_for_the_refresh_of_another_process() {
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    let flight = world.flight_at(Station::BeforePost, id).await;
    let ending = world.restarted();
    let waiter = ask_at(&ending, id);
    look_again().await;
    assert!(!waiter.is_finished());

    let shutdown = tokio::time::timeout(Duration::from_millis(1), ending.shutdown(LONG)).await;

    assert_eq!(shutdown.expect("at once"), Ok(()));
    let error = waiter.await.unwrap().expect_err("the process ends");
    assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
    flight.land().await.expect("the other process goes on");
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_too_short_is_told() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.expire();
    let answer = world.issuer.gate_after(Endpoint::Token);
    let waiter = world.ask(&world.session(id));
    answer.reached().await;
    let error =
        world.refresher.shutdown(Duration::from_secs(1)).await.expect_err("it is still under way");
    assert!(error.to_string().contains("limit 1s"), "{error}");
    answer.open();
    assert!(waiter.await.unwrap().is_ok(), "waiting less cuts nothing off");
}

#[tokio::test(start_paused = true)]
async fn an_unsaved_set_gets_one_more_chance() {
    for world in [World::on_memory(), World::on_swapping()] {
        let id = world.log_in("alice").await;
        world.expire();
        world.tokens.refuse(TokenOp::Put);
        served(&world, id).await;
        assert_eq!(world.stored_tokens(id).await.generation(), Some(1));
        world.tokens.accept(TokenOp::Put);

        assert_eq!(world.refresher.shutdown(LONG).await, Ok(()));

        assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
        world.assert_logged_in(id).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_unsaved_log_out_gets_one_more_chance() {
    for world in [World::on_memory(), World::on_swapping()] {
        let id = world.log_in("alice").await;
        let grant = world.pointer(id).await.expect("logged in");
        world.tokens.refuse(TokenOp::End);
        let session = world.session(id);
        world.refresher.log_out(&session, Logout::EndSession).await.expect_err("the store failed");
        assert!(!world.tokens_of(&grant).await.is_ended());
        world.tokens.accept(TokenOp::End);

        assert_eq!(world.refresher.shutdown(LONG).await, Ok(()));

        assert!(world.tokens_of(&grant).await.is_ended());
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_refuses_or_hangs_to_the_end_does_not_hold_the_process_up() {
    for hangs in [false, true] {
        let world = World::patient();
        let id = world.log_in("alice").await;
        world.expire();
        world.tokens.refuse(TokenOp::Put);
        served(&world, id).await;
        let stuck = hangs.then(|| world.tokens.gate_before(TokenOp::Put));
        let limit = Duration::from_secs(11);
        let shutdown = tokio::time::timeout(limit, world.refresher.shutdown(LONG)).await;
        let error = shutdown.expect("one attempt").expect_err("the store lacks the new tokens");
        assert!(error.to_string().contains("the ending of 1 logins"), "{error}");
        assert_eq!(world.stored_tokens(id).await.generation(), Some(1));
        drop(stuck);
    }
}
