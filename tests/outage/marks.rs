//! The mark that a refresh sets in the token record before it presents the refresh token, and takes
//! back where the token was certainly not used up.

use std::time::{Duration, SystemTime};

use support::{TokenOp, World, races::Station, tokens::key_of, variants::session_at};
use tokio::task::JoinHandle;
use tower_sessions::session::Id;
use tower_token_refresh::{
    AccessToken, RefreshError, RefreshErrorKind, RefreshPolicy, TokenRefresher,
    testing::{Endpoint, StrictIssuer},
    token_store::RecordState,
    tower_sessions,
};

use super::{refused, served};

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// Another process on the same stores, or this one after a restart. Its requests wait for long.
pub(super) fn another_process(world: &World) -> TokenRefresher {
    world.restarted_with(|builder| {
        builder.policy(RefreshPolicy::default().wait_timeout(Duration::from_secs(120)))
    })
}

pub(super) fn ask_at(
    refresher: &TokenRefresher,
    id: Id,
) -> JoinHandle<Result<AccessToken, RefreshError>> {
    let refresher = refresher.clone();
    tokio::spawn(async move { refresher.valid_token(&session_at(&refresher, id)).await })
}

/// Whoever waits for a mark looks at it once more, by the runtime's timer.
pub(super) async fn look_again() {
    tokio::time::sleep(SECOND + Duration::from_millis(1)).await;
}

/// Time passes second by second, and whoever waits for a mark looks at it each time.
pub(super) async fn watch(world: &World, time: Duration) {
    for _ in 0..time.as_secs() {
        world.clock.advance(SECOND);
        look_again().await;
    }
}

async fn marked_since(world: &World, id: Id) -> SystemTime {
    let grant = world.pointer(id).await.expect("logged in");
    let record = world.tokens.peek(key_of(&grant)).await.expect("a record");
    let RecordState::Presenting { since } = record.state() else { panic!("{record:?}") };
    since
}

#[tokio::test(start_paused = true)]
async fn while_one_process_refreshes_the_others_wait_for_its_tokens() {
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    let flight = world.flight_at(Station::BeforePost, id).await;
    let other = ask_at(&another_process(&world), id);
    look_again().await;
    assert!(!other.is_finished());

    let token = flight.land().await.expect("refreshed");

    assert_eq!(other.await.unwrap().expect("found in the store").secret(), token.secret());
    assert_eq!(world.issuer.refresh_requests(), 1);
    world.assert_logged_in(id).await;
}

/// Everybody but a flight reads a marked record as a live one.
#[tokio::test]
async fn a_good_token_is_served_while_another_process_refreshes_it() {
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    world.clock.advance(Duration::from_secs(46));
    let post = world.issuer.gate_before(Endpoint::Token);
    let first = served(&world, id).await;
    post.reached().await;

    let other = another_process(&world);
    let token = other.valid_token(&session_at(&other, id)).await.expect("it is good");

    assert_eq!(token.secret(), first.secret());
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_for_another_process_is_told_the_rest_of_its_time() {
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    let flight = world.flight_at(Station::BeforePost, id).await;
    world.clock.advance(Duration::from_secs(12));
    let other = world.restarted();
    let error = other.valid_token(&session_at(&other, id)).await.expect_err("10 s are over");
    assert_eq!(error.kind(), RefreshErrorKind::WaitTimeout);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(18)));
    flight.open();
}

/// Rule 4: the store has set it, and whoever asked for it looks.
#[tokio::test]
async fn a_mark_whose_confirmation_got_lost_is_a_mark() {
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    world.expire();
    world.tokens.lose_next_answer(TokenOp::Swap);
    served(&world, id).await;
    assert_eq!((world.tokens.calls(TokenOp::Swap), world.issuer.refresh_requests()), (1, 1));
    world.assert_logged_in(id).await;
}

/// Rule 3, where the store alone keeps two processes apart.
#[tokio::test]
async fn without_a_mark_nothing_is_presented() {
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    world.expire();
    world.tokens.refuse(TokenOp::Swap);
    assert_eq!(refused(&world, id).await.kind(), RefreshErrorKind::Unavailable);
    assert_eq!(world.issuer.token_requests(), 0);
    world.tokens.accept(TokenOp::Swap);
    served(&world, id).await;
    world.assert_logged_in(id).await;
}

/// Rule 3, where one process excludes by itself.
#[tokio::test]
async fn a_plain_store_that_refuses_marks_is_noticed_by_nobody() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.expire();
    world.tokens.refuse(TokenOp::Swap);
    served(&world, id).await;
    world.assert_logged_in(id).await;
}

/// Rule 3: or others would take it for old while the second attempt is under way.
#[tokio::test(start_paused = true)]
async fn each_attempt_renews_the_mark() {
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    let flight = world.flight_at(Station::BeforePost, id).await;
    let first = marked_since(&world, id).await;
    world.issuer.fail_next(503, "");
    let second_post = world.issuer.gate_before(Endpoint::Token);
    world.clock.advance(2 * SECOND);
    flight.open();
    second_post.reached().await;
    assert_eq!(marked_since(&world, id).await, first + 2 * SECOND);
    second_post.open();
    flight.land().await.expect("refreshed");
    let refresh_token = world.stored_refresh_token(id).await.expect("logged in");
    assert!(world.issuer.is_refresh_token_live(&refresh_token));
}

/// Rule 26: the token was certainly not used up, so nobody has to wait for the mark to grow old.
#[tokio::test(start_paused = true)]
async fn a_clear_refusal_takes_the_mark_back_at_once() {
    type Script = fn(&StrictIssuer);
    let clear: [(&str, Script); 5] = [
        ("503", |issuer| issuer.fail_next(503, "")),
        ("429", |issuer| issuer.fail_next(429, "")),
        ("overloaded", |issuer| issuer.fail_next_oauth(400, "temporarily_unavailable")),
        ("a firewall", |issuer| issuer.fail_next(403, "<html>")),
        ("a refused client", |issuer| issuer.fail_next_oauth(401, "invalid_client")),
    ];
    for (name, script) in clear {
        for world in [World::on_memory(), World::on_swapping()] {
            let id = world.log_in("alice").await;
            world.expire();
            // The first three are tried twice.
            script(&world.issuer);
            script(&world.issuer);
            refused(&world, id).await;
            world.issuer.clear_script();
            let stored = world.stored_tokens(id).await;
            assert!(stored.is_live() && stored.generation() == Some(1), "{name}: {stored:?}");

            let other = world.restarted();
            let token = other.valid_token(&session_at(&other, id)).await;
            assert!(token.is_ok(), "another process refreshes at once: {name}");
        }
    }
}

/// The mark that stays is no more than a wait for others, and nobody's own obstacle.
#[tokio::test(start_paused = true)]
async fn a_mark_that_could_not_be_taken_back_does_not_stop_its_own_process() {
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    world.expire();
    let post = world.issuer.gate_before(Endpoint::Token);
    world.issuer.fail_next(403, "<html>");
    let waiting = world.ask(&world.session(id));
    post.reached().await;
    world.tokens.fail_next(TokenOp::Swap);
    post.open();
    assert_eq!(waiting.await.unwrap().unwrap_err().kind(), RefreshErrorKind::InvalidResponse);
    assert!(world.stored_tokens(id).await.is_presenting());

    world.clock.advance(Duration::from_secs(1));
    served(&world, id).await;
    assert_eq!(world.issuer.refresh_requests(), 2);
    assert!(world.stored_tokens(id).await.is_live());
}
