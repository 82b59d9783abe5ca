//! A login ended and the session store did not let go of it: it is asked again in the background, so that no restart brings it back.


use std::time::Duration;

use support::{StoredTokens, World, races::Station, settle, Op, variants::session_at};
use tower_sessions::session::Id;
use tower_token_refresh::{
    Logout::{self, EndSession, KeepSession},
    RefreshErrorKind,
    testing::Endpoint,
    tower_sessions,
};

const LONG: Duration = Duration::from_secs(20);

/// A log out that the store refused for as long as its caller waited, and a provider that did not revoke either.
async fn refused_log_out(how: Logout) -> (World, Id) {
    let world = World::patient();
    let id = world.log_in("alice").await;
    world.sessions.refuse(Op::Delete);
    world.sessions.refuse(Op::Save);
    world.issuer.fail_next_at(Endpoint::Revocation, 503, "");
    let error =
        world.refresher.log_out(&world.session(id), how).await.expect_err("the store refuses");
    assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
    assert_eq!(world.held_by("alice").await, [(id, 1)]);
    (world, id)
}

fn accept_all(world: &World) {
    world.sessions.accept(Op::Delete);
    world.sessions.accept(Op::Save);
}

#[tokio::test(start_paused = true)]
async fn a_refused_log_out_is_carried_out_in_the_background() {
    for how in [EndSession, KeepSession] {
        let (world, id) = refused_log_out(how).await;
        tokio::time::sleep(Duration::from_secs(300)).await;
        assert_eq!(world.held_by("alice").await, [(id, 1)], "refused all along");
        accept_all(&world);

        tokio::time::sleep(Duration::from_secs(11)).await;

        assert_eq!(world.held_by("alice").await, [], "{how:?}");
        assert_eq!(world.stored(id).await.is_none(), how == EndSession, "{how:?}");
        let restarted = world.restarted();
        let error =
            restarted.valid_token(&session_at(&restarted, id)).await.expect_err("logged out");
        assert_eq!(error.kind(), RefreshErrorKind::NoTokens, "{how:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_asks_the_store_once_more() {
    for how in [EndSession, KeepSession] {
        let (world, _) = refused_log_out(how).await;
        accept_all(&world);
        assert_eq!(world.refresher.shutdown(LONG).await, Ok(()));
        assert_eq!(world.held_by("alice").await, [], "{how:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_refuses_to_the_end_is_asked_once_more_and_no_longer_than_ten_minutes() {
    let (world, _) = refused_log_out(EndSession).await;
    let deletes = || world.sessions.calls(Op::Delete);
    let before = deletes();
    let shutdown =
        tokio::time::timeout(Duration::from_secs(1), world.refresher.shutdown(LONG)).await;
    assert_eq!(shutdown.expect("at once"), Ok(()));
    assert_eq!(deletes() - before, 1);

    let (world, _) = refused_log_out(EndSession).await;
    let deletes = || world.sessions.calls(Op::Delete);
    tokio::time::sleep(Duration::from_secs(15 * 60)).await;
    let before = deletes();
    tokio::time::sleep(Duration::from_secs(15 * 60)).await;
    assert_eq!(deletes(), before);
}

/// However often the user tries again meanwhile.
#[tokio::test(start_paused = true)]
async fn one_task_asks_for_each_record() {
    let (world, id) = refused_log_out(EndSession).await;
    for _ in 0..5 {
        world.refresher.log_out(&world.session(id), EndSession).await.expect_err("still refused");
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    let before = world.sessions.calls(Op::Delete);
    tokio::time::sleep(Duration::from_secs(100)).await;
    let calls = world.sessions.calls(Op::Delete) - before;
    assert!((9..=21).contains(&calls), "{calls}");
}

/// The mark of the end would be forgotten before the store lets go.
#[tokio::test(start_paused = true)]
async fn this_process_knows_of_the_end_for_as_long_as_it_asks() {
    let world = World::patient();
    let (id, other) = (world.log_in("alice").await, world.log_in("somebody else").await);
    world.sessions.refuse(Op::Delete);
    world.refresher.log_out(&world.session(id), EndSession).await.expect_err("the store refuses");
    for _ in 0..3 {
        world.clock.advance(Duration::from_secs(601));
        world.refresh(other).await;
    }
    let error = world.refresher.valid_token(&world.session(id)).await.expect_err("logged out");
    assert_eq!(error.kind(), RefreshErrorKind::NoTokens);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_is_asked_again() {
    for how in [EndSession, KeepSession] {
        let world = World::patient();
        let id = world.log_in("alice").await;
        let leaving = world.request(id).await;
        world.sessions.panic_next(Op::Load);
        world.sessions.refuse(Op::Delete);
        world.refresher.log_out(&leaving, how).await.expect_err("the store panics");
        world.sessions.accept(Op::Delete);
        world.sessions.panic_next(Op::Load);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(world.held_by("alice").await, [], "{how:?}");
    }
}

/// The provider no longer accepts the refresh token.
#[tokio::test(start_paused = true)]
async fn an_expired_login_that_the_store_keeps_is_buried_in_the_background() {
    let world = World::patient();
    let id = world.log_in("alice").await;
    world.expire();
    world.issuer.fail_next_oauth(400, "invalid_grant");
    world.sessions.refuse(Op::Save);
    let error = world.refresher.valid_token(&world.session(id)).await.expect_err("refused");
    assert_eq!(error.kind(), RefreshErrorKind::SessionExpired);
    world.sessions.accept(Op::Save);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(matches!(world.stored_tokens(id).await, StoredTokens::Tombstone { .. }));
}

#[tokio::test(start_paused = true)]
async fn the_login_that_another_one_replaced_is_buried_in_the_background() {
    let world = World::patient();
    let id = world.log_in("alice").await;
    let session = world.request(id).await;
    world.sessions.refuse(Op::Save);
    let bob = tower_token_refresh::TokenSet::from_response(world.issuer.log_in("bob"))
        .expect("a token set");
    world.refresher.log_in(&session, bob).await.expect_err("the store refuses");
    world.sessions.accept(Op::Save);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(world.held_by("alice").await, []);
}

/// What the flight brought is revoked, and the record it had written before the log out came is deleted.
#[tokio::test(start_paused = true)]
async fn a_flight_under_way_does_not_keep_the_record() {
    let world = World::patient();
    let id = world.log_in("alice").await;
    let mut flight = world.flight_at(Station::AfterPost, id).await;
    world.sessions.refuse(Op::Delete);
    world.sessions.refuse(Op::Save);
    let leaving = world.log_out(&world.session(id), EndSession);
    flight.answer_meanwhile().await.expect_err("logged out");
    flight.land_alone().await;
    leaving.await.expect("no panic").expect_err("the store refuses");
    accept_all(&world);
    tokio::time::sleep(Duration::from_secs(11)).await;
    settle().await;
    assert_eq!(world.stored_tokens(id).await, StoredTokens::NoRecord);
    world.assert_dead_at_the_provider();
}

/// Two requests got a new id at once, and one has left a copy of the session.
#[tokio::test(start_paused = true)]
async fn every_record_that_the_login_has_left_goes_with_it() {
    let world = World::patient();
    let id = world.log_in("alice").await;
    let (one, two) = (world.request(id).await, world.request(id).await);
    for session in [&one, &two] {
        session.cycle_id().await.expect("cycled");
        session.save().await.expect("saved");
    }
    let (copy, home) = (one.id().expect("saved"), two.id().expect("saved"));
    assert!(matches!(world.stored_tokens(copy).await, StoredTokens::Tombstone { .. }));
    world.sessions.refuse(Op::Delete);
    world.refresher.log_out(&world.session(home), EndSession).await.expect_err("the store refuses");
    world.sessions.accept(Op::Delete);

    tokio::time::sleep(Duration::from_secs(5)).await;

    for id in [copy, home] {
        assert_eq!(world.stored_tokens(id).await, StoredTokens::NoRecord);
    }
}
