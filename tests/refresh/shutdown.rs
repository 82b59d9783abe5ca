//! The end of a process: no refresh is cut off, none is started, and what the store has refused gets one more chance.


use std::time::Duration;

use support::{World, settle, Op};
use tower_token_refresh::{Logout, RefreshErrorKind, testing::Endpoint};

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
    assert!(!world.issuer.session_alive("alice"));
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
    assert!(error.to_string().contains("after 1s"), "{error}");
    answer.open();
    assert!(waiter.await.unwrap().is_ok(), "waiting less cuts nothing off");
}

#[tokio::test(start_paused = true)]
async fn a_pending_set_gets_one_more_chance() {
    let world = World::patient();
    let id = world.log_in("alice").await;
    world.expire();
    world.sessions.refuse(Op::Save);
    world.refresher.valid_token(&world.session(id)).await.expect("served from memory");
    assert_eq!(world.stored_tokens(id).await.generation(), Some(1));
    world.sessions.accept(Op::Save);

    assert_eq!(world.refresher.shutdown(LONG).await, Ok(()));

    assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
    world.assert_logged_in(id).await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_refuses_to_the_end_does_not_hold_the_process_up() {
    let world = World::patient();
    let id = world.log_in("alice").await;
    world.expire();
    world.sessions.refuse(Op::Save);
    world.refresher.valid_token(&world.session(id)).await.expect("served from memory");
    let begun = tokio::time::timeout(Duration::from_secs(11), world.refresher.shutdown(LONG));
    assert_eq!(begun.await.expect("one attempt of ten seconds"), Ok(()));
    assert_eq!(world.stored_tokens(id).await.generation(), Some(1));
}
