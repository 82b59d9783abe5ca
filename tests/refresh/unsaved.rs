//! The provider has given a new set and the session store does not take it: the set is kept in memory, served and written later.


use std::time::Duration;

use support::{StoredTokens, World, settle, shown_generation, Op};
use tower_sessions::session::Id;
use tower_token_refresh::{
    Logout, RefreshErrorKind, RefreshPolicy, Revocation,
    testing::{Endpoint, StrictIssuerBuilder},
    tower_sessions,
};

/// A world whose store refused the write-back of generation 2 for as long as a flight tries.
async fn with_a_pending_set() -> (World, Id) {
    let world = World::patient();
    let id = world.log_in("alice").await;
    made_pending(&world, id).await;
    assert_eq!(world.stored_tokens(id).await.generation(), Some(1));
    (world, id)
}

async fn made_pending(world: &World, id: Id) {
    world.expire();
    world.sessions.refuse(Op::Save);
    world.refresher.valid_token(&world.session(id)).await.expect("served all the same");
}

#[tokio::test(start_paused = true)]
async fn a_pending_set_is_served_and_the_consumed_token_is_not_presented_again() {
    let (world, id) = with_a_pending_set().await;
    for _ in 0..10 {
        let token = world.refresher.valid_token(&world.session(id)).await.unwrap();
        assert!(world.issuer.is_access_token_live(token.secret()));
    }
    assert_eq!(world.issuer.refresh_requests(), 1);
    assert_eq!(world.stored_tokens(id).await.generation(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_request_does_not_wait_for_a_store_that_still_refuses() {
    let (world, id) = with_a_pending_set().await;
    let session = world.request(id).await;
    let served =
        tokio::time::timeout(Duration::from_millis(1), world.refresher.valid_token(&session)).await;
    assert!(served.expect("at once").is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_next_request_writes_the_pending_set_once_the_store_accepts() {
    let (world, id) = with_a_pending_set().await;
    world.sessions.accept(Op::Save);
    let saves = world.sessions.calls(Op::Save);

    for _ in 0..5 {
        world.refresher.valid_token(&world.session(id)).await.unwrap();
        settle().await;
    }

    assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
    assert_eq!(world.sessions.calls(Op::Save) - saves, 1, "written once");
    assert_eq!(world.issuer.refresh_requests(), 1);
    assert_eq!(shown_generation(&world.session(id)).await, Some(2));
    world.assert_logged_in(id).await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hiccups_during_the_write_back_leaves_nothing_pending() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.expire();
    world.sessions.fail_next(Op::Save);
    world.sessions.fail_next(Op::Save);
    world.refresher.valid_token(&world.session(id)).await.unwrap();
    assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_pending_set_that_expires_is_refreshed_with_its_own_refresh_token() {
    let (world, id) = with_a_pending_set().await;
    world.expire();
    let token = world.refresher.valid_token(&world.session(id)).await.unwrap();
    assert!(world.issuer.is_access_token_live(token.secret()));
    assert_eq!((world.issuer.refresh_requests(), world.issuer.max_presented()), (2, 1));

    world.sessions.accept(Op::Save);
    world.refresher.valid_token(&world.session(id)).await.unwrap();
    settle().await;
    assert_eq!(world.stored_tokens(id).await.generation(), Some(3));
    world.assert_logged_in(id).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_cycled_meanwhile_carries_the_pending_set() {
    let (world, old) = with_a_pending_set().await;
    let session = world.session(old);
    session.cycle_id().await.unwrap();
    session.save().await.expect("a create, which the store takes");
    let new = session.id().unwrap();
    assert_eq!(world.stored_tokens(new).await.generation(), Some(2));
    assert_eq!(world.stored_tokens(old).await, StoredTokens::NoRecord);
    world.assert_logged_in(new).await;
}

#[tokio::test(start_paused = true)]
async fn a_log_out_drops_and_revokes_the_pending_set() {
    let (world, id) = with_a_pending_set().await;
    let pending = world.refresher.valid_token(&world.session(id)).await.unwrap();
    let slow = world.request(id).await;

    let out = world.refresher.log_out(&world.session(id), Logout::EndSession).await.unwrap();
    world.sessions.accept(Op::Save);
    settle().await;

    assert!(matches!(out.revocation, Revocation::Revoked));
    assert!(!world.issuer.session_alive(pending.secret()));
    assert_eq!(world.stored_tokens(id).await, StoredTokens::NoRecord);
    let error = world.refresher.valid_token(&slow).await.unwrap_err();
    assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
    assert_eq!(world.stored_tokens(id).await, StoredTokens::NoRecord);
}

#[tokio::test(start_paused = true)]
async fn a_pending_set_whose_record_goes_is_not_written_to_any() {
    let (world, id) = with_a_pending_set().await;
    let session = world.request(id).await;
    world.sessions.vanish(id).await;
    world.sessions.accept(Op::Save);
    world.refresher.valid_token(&session).await.unwrap();
    settle().await;
    assert_eq!(world.stored_tokens(id).await, StoredTokens::NoRecord);
    assert_eq!(
        world.issuer.requests(Endpoint::Revocation),
        0,
        "a vanished session is not a log out"
    );
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_the_write_back_holds_the_waiters_for_ten_seconds_at_the_most()
{
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.expire();
    let stuck = world.sessions.gate_before(Op::Save);
    let session = world.session(id);
    let served =
        tokio::time::timeout(Duration::from_millis(10_100), world.refresher.valid_token(&session))
            .await;
    assert!(world.issuer.is_access_token_live(served.expect("in time").unwrap().secret()));
    stuck.open();
    settle().await;
    assert_eq!(world.stored_tokens(id).await.generation(), Some(2), "the write landed in the end");
}

/// No request comes any more; a task of its own writes the set as soon as the store takes it.
#[tokio::test(start_paused = true)]
async fn a_pending_set_is_written_in_the_background() {
    let (world, id) = with_a_pending_set().await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(world.stored_tokens(id).await.generation(), Some(1), "refused all along");
    let attempts = world.sessions.calls(Op::Save);
    world.sessions.accept(Op::Save);

    tokio::time::sleep(Duration::from_secs(61)).await;

    assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
    assert!(world.sessions.calls(Op::Save) > attempts);
    assert_eq!(world.issuer.refresh_requests(), 1);
    world.assert_logged_in(id).await;
}

/// It asks the provider nothing, even if the set has expired by then.
#[tokio::test(start_paused = true)]
async fn the_background_writer_presents_no_refresh_token() {
    let (world, id) = with_a_pending_set().await;
    world.expire();
    world.sessions.accept(Op::Save);
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
    assert_eq!(world.issuer.refresh_requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_background_writer_stops_with_the_login() {
    let (world, id) = with_a_pending_set().await;
    world.refresher.log_out(&world.session(id), Logout::EndSession).await.expect("logged out");
    let calls = world.sessions.calls(Op::Save) + world.sessions.calls(Op::Load);
    world.sessions.accept(Op::Save);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(world.sessions.calls(Op::Save) + world.sessions.calls(Op::Load), calls);
    assert_eq!(world.stored_tokens(id).await, StoredTokens::NoRecord);
}

/// While the store refuses, for hours perhaps, it is asked ever more rarely.
#[tokio::test(start_paused = true)]
async fn the_background_writer_pauses_between_its_attempts() {
    let (world, _) = with_a_pending_set().await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    let calls = world.sessions.calls(Op::Save);
    tokio::time::sleep(Duration::from_secs(600)).await;
    let calls = world.sessions.calls(Op::Save) - calls;
    // An attempt lasts ten seconds, with some fifteen calls; the pause after it half a minute at the least.
    assert!(calls > 0 && calls < 300, "{calls}");
}

/// Nobody could refresh with the set any more, and the session it belongs to is as good as over.
#[tokio::test(start_paused = true)]
async fn the_background_writer_stops_when_the_refresh_token_has_expired() {
    let policy = RefreshPolicy::default().wait_timeout(Duration::from_secs(120));
    let lives =
        |issuer: StrictIssuerBuilder| issuer.refresh_token_lifetime(Duration::from_secs(900));
    let world = World::configured(lives, |builder| builder.policy(policy));
    made_pending(&world, world.log_in("alice").await).await;
    let calls = || world.sessions.calls(Op::Save) + world.sessions.calls(Op::Load);
    for minutes in 0..20 {
        let before = calls();
        world.clock.advance(Duration::from_secs(60));
        tokio::time::sleep(Duration::from_secs(90)).await;
        // The end comes within the fifteenth minute, and an attempt may be under way.
        assert!(minutes == 14 || (calls() > before) == (minutes < 14), "{minutes}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_set_that_the_store_refuses_is_written_in_the_background_as_well() {
    let (world, id) = with_a_pending_set().await;
    world.sessions.accept(Op::Save);
    tokio::time::sleep(Duration::from_secs(61)).await;
    made_pending(&world, id).await;
    assert_eq!(world.stored_tokens(id).await.generation(), Some(2));

    world.sessions.accept(Op::Save);
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(world.stored_tokens(id).await.generation(), Some(3));
    world.assert_logged_in(id).await;
}
