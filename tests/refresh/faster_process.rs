//! The provider refuses a refresh token that another process has presented before: the tokens of
//! the faster process are the answer, and nothing that is newer ends.

use std::time::Duration;

use support::{
    TokenOp, World,
    races::{Flight, Station::BeforePost},
    settle,
    variants::session_at,
};
use tokio::task::JoinHandle;
use tower_sessions::session::Id;
use tower_token_refresh::{
    AccessToken, RefreshError, RefreshErrorKind, TokenRefresher, testing::Endpoint, tower_sessions,
};

/// How long a mark holds others off: 15 s for the request, 10 s for the write, 5 s for the clocks.
const DEADLINE: Duration = Duration::from_secs(30);
/// Between two looks at one mark.
const LOOKS: Duration = Duration::from_secs(5);

/// A flight whose request hangs for longer than its mark holds others off.
async fn with_a_frozen_flight(world: &World) -> (Id, Flight) {
    let id = world.log_in("alice").await;
    let frozen = world.flight_at(BeforePost, id).await;
    world.clock.advance(DEADLINE);
    (id, frozen)
}

/// Another process takes the mark over and asks the provider.
async fn take_over(
    world: &World,
    elsewhere: TokenRefresher,
    id: Id,
) -> JoinHandle<Result<AccessToken, RefreshError>> {
    let session = session_at(&elsewhere, id);
    let asking = tokio::spawn(async move { elsewhere.valid_token(&session).await });
    settle().await;
    world.clock.advance(LOOKS);
    asking
}

#[tokio::test(start_paused = true)]
async fn a_refusal_after_another_process_was_faster_gives_the_newer_tokens() {
    let world = World::on_swapping();
    let (id, frozen) = with_a_frozen_flight(&world).await;
    let theirs = take_over(&world, world.restarted(), id).await.await.unwrap().expect("refreshed");
    world.issuer.fail_next_oauth(400, "invalid_grant");

    let ours = frozen.land().await.expect("theirs");

    assert_eq!(ours.secret(), theirs.secret());
    let refresh_token = world.stored_refresh_token(id).await.expect("a refresh token");
    assert!(world.issuer.is_refresh_token_live(&refresh_token));
    assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
}

/// The winner has its answer and is writing it when the loser is refused.
#[tokio::test(start_paused = true)]
async fn a_refusal_waits_a_little_for_the_tokens_of_a_process_that_was_faster() {
    let world = World::on_swapping();
    let (id, frozen) = with_a_frozen_flight(&world).await;
    let put = world.tokens.gate_before(TokenOp::Put);
    let winner = take_over(&world, world.restarted(), id).await;
    put.reached().await;
    world.issuer.fail_next_oauth(400, "invalid_grant");
    frozen.open();
    settle().await;
    assert!(!frozen.waiter.is_finished());
    put.open();

    let ours = frozen.land().await.expect("theirs");

    assert_eq!(ours.secret(), winner.await.unwrap().expect("refreshed").secret());
    assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
}

/// It writes after the loser's last look, just before the loser ends the login: only what was
/// refused ends.
#[tokio::test(start_paused = true)]
async fn a_refusal_ends_no_newer_tokens() {
    let world = World::on_swapping();
    let (id, frozen) = with_a_frozen_flight(&world).await;
    let (put, end) =
        (world.tokens.gate_before(TokenOp::Put), world.tokens.gate_before(TokenOp::End));
    let winner = take_over(&world, world.restarted(), id).await;
    put.reached().await;
    world.issuer.fail_next_oauth(400, "invalid_grant");
    frozen.open();
    end.reached().await;
    put.open();
    let theirs = winner.await.unwrap().expect("refreshed");
    end.open();

    let ours = frozen.land().await.expect("theirs");

    assert_eq!(ours.secret(), theirs.secret());
    assert!(world.stored_tokens(id).await.is_live());
    let again = world.refresher.valid_token(&world.session(id)).await.expect("fresh");
    assert_eq!(again.secret(), theirs.secret());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_cannot_be_compared_with_the_store_ends_nothing() {
    for world in [World::on_memory(), World::on_swapping()] {
        let id = world.log_in("alice").await;
        world.expire();
        world.issuer.fail_next_oauth(400, "invalid_grant");
        let answer = world.issuer.gate_after(Endpoint::Token);
        let request = world.ask(&world.session(id));
        answer.reached().await;
        world.tokens.refuse(TokenOp::Load);
        answer.open();

        let error = request.await.unwrap().expect_err("another process may have won");

        assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
        assert_eq!(world.stored_tokens(id).await.generation(), Some(1));
    }
}
