//! What outlives its request: it always has a good token, and learns of the end.

use std::time::Duration;

use support::{LIFE, TokenOp, World, on_every_store, settle};
use tokio::task::JoinHandle;
use tower_sessions::session::Id;
use tower_token_refresh::{
    AccessToken, LoginTokens, Logout, RefreshError, RefreshErrorKind, RefreshPolicy,
};

const SECOND: Duration = Duration::from_secs(1);

async fn tokens_of(world: &World, id: Id) -> LoginTokens {
    world.refresher.login_tokens(&world.session(id)).await.expect("logged in")
}

/// One waits for the end of the login, and one for its next token.
async fn both_waits(
    world: &World,
    id: Id,
) -> (JoinHandle<RefreshError>, JoinHandle<Result<AccessToken, RefreshError>>) {
    let (tokens, mut changes) = (tokens_of(world, id).await, tokens_of(world, id).await);
    let ended = tokio::spawn(async move { tokens.ended().await });
    (ended, tokio::spawn(async move { changes.changed().await }))
}

async fn log_out(world: &World, id: Id) {
    world.refresher.log_out(&world.session(id), Logout::EndSession).await.expect("logged out");
}

on_every_store! {
    #[doc = "Nobody else asks for a token."]
    async fn a_stream_that_only_waits_has_a_good_token_over_three_expiries(world: World) {
        let id = world.log_in("alice").await;
        let mut tokens = tokens_of(&world, id).await;
        for refreshes in 1..=3 {
            world.expire();
            let token = tokens.changed().await.expect("the next one");
            assert!(world.issuer.is_access_token_live(token.secret()));
            assert_eq!(world.issuer.refreshes(), refreshes);
            assert_eq!(tokens.current().expect("known").secret(), token.secret());
        }
        world.assert_logged_in(id).await;
    }

    async fn an_old_one_gives_no_token_of_the_next_login(world: World) {
        let id = world.log_in("alice").await;
        let old = tokens_of(&world, id).await;
        let session = world.session(id);
        world.log_in_on(&session, "bob").await;
        let id = session.id().expect("saved");
        assert_eq!(tokens_of(&world, id).await.token().await.expect("bob's").subject(), Some(&*world.issuer.subject_of("bob")));

        for seconds in [0, 61, 3600, 24 * 3600, 40 * 24 * 3600] {
            world.clock.advance(SECOND * seconds);
            let error = old.token().await.expect_err("alice's login has ended");
            assert_eq!(error.kind().status(), 401, "{seconds}");
            assert!(old.current().is_none(), "{seconds}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_logout_ends_both_waits_at_once() {
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    let (ended, changed) = both_waits(&world, id).await;
    tokio::task::yield_now().await;
    assert!(!ended.is_finished() && !changed.is_finished());

    log_out(&world, id).await;
    let before = support::tokio_now();
    assert_eq!(ended.await.unwrap().kind(), RefreshErrorKind::LoggedOut);
    let error = changed.await.unwrap().expect_err("no next one");
    assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
    assert_eq!(support::tokio_now(), before);
}

/// The clock that ages what was read moves on in steps, the waits go by tokio's.
async fn step(world: &World, seconds: u32) {
    for _ in 0..seconds {
        world.clock.advance(SECOND);
        tokio::time::sleep(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn another_process_learns_of_a_logout_within_confirm_after() {
    let world = World::swapping_with(|builder| {
        builder.policy(RefreshPolicy::default().confirm_after(SECOND * 20))
    });
    let id = world.log_in("alice").await;
    let process = world.restarted_with(|builder| {
        builder.policy(RefreshPolicy::default().confirm_after(SECOND * 20))
    });
    let tokens = process.login_tokens(&world.session(id)).await.expect("logged in");
    let ended = tokio::spawn(async move { tokens.ended().await });
    step(&world, 10).await;
    log_out(&world, id).await;
    step(&world, 21).await;
    assert!(ended.is_finished());
    assert_eq!(ended.await.unwrap().kind(), RefreshErrorKind::LoggedOut);
}

#[tokio::test(start_paused = true)]
async fn the_next_token_comes_before_the_last_one_has_expired() {
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    let mut tokens = tokens_of(&world, id).await;
    for _ in 0..3 {
        let held = tokens.current().expect("known");
        let changed = tokio::spawn(async move {
            let next = tokens.changed().await;
            (tokens, next)
        });
        while !changed.is_finished() {
            step(&world, 1).await;
            let now = world.clock.clock().now();
            assert!(now < held.expires_at(), "it has expired meanwhile");
        }
        let next;
        (tokens, next) = changed.await.unwrap();
        assert!(world.issuer.is_access_token_live(next.expect("the next one").secret()));
    }
    world.assert_logged_in(id).await;
}

/// The stream waits, and the next request of the same user is what refreshes.
#[tokio::test(start_paused = true)]
async fn what_a_request_refreshes_wakes_a_stream_at_once() {
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    let mut tokens = tokens_of(&world, id).await;
    let changed = tokio::spawn(async move { tokens.changed().await });
    tokio::task::yield_now().await;
    let session = world.session(id);
    let held = world.refresher.valid_token(&session).await.expect("fresh");
    let newer = world.refresher.newer_token(&session, &held).await.expect("newer");
    let before = support::tokio_now();
    assert_eq!(changed.await.unwrap().expect("woken").secret(), newer.secret());
    assert_eq!(support::tokio_now(), before);
}

/// The refresh has brought a refresh token, and no access token that can be used.
#[tokio::test(start_paused = true)]
async fn a_stream_gets_no_token_twice() {
    let world = World::on_swapping();
    let mut tokens = tokens_of(&world, world.log_in("alice").await).await;
    let first = tokens.token().await.expect("a token");
    world.clock.advance(SECOND * 15);
    world.issuer.edit_next(|body| body["access_token"] = "".into());
    tokens.newer_than(&first).await.expect_err("it cannot be used");
    settle().await;
    assert!(tokio::time::timeout(SECOND * 3, tokens.changed()).await.is_err(), "the same again");
    world.clock.advance(LIFE);
    let next = tokens.newer_than(&first).await.expect("a token");
    assert_eq!(tokens.changed().await.expect("a token").secret(), next.secret());
}

#[tokio::test(start_paused = true)]
async fn an_outage_ends_no_wait() {
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    let (ended, changed) = both_waits(&world, id).await;
    world.tokens.refuse_everything(true);
    step(&world, 300).await;
    assert!(!ended.is_finished() && !changed.is_finished());

    world.tokens.refuse_everything(false);
    step(&world, 10).await;
    assert!(changed.await.unwrap().is_ok());
    assert!(!ended.is_finished());
    world.assert_logged_in(id).await;
}

/// Whoever waits reads the record once per `confirm_after`, however many wait.
#[tokio::test(start_paused = true)]
async fn a_thousand_streams_of_one_login_ask_the_store_as_often_as_one() {
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    let mut waits = Vec::new();
    for _ in 0..1000 {
        let tokens = tokens_of(&world, id).await;
        waits.push(tokio::spawn(async move { tokens.ended().await }));
    }
    tokio::task::yield_now().await;
    let before = world.tokens.calls(TokenOp::Load);
    step(&world, 600).await;
    let reads = world.tokens.calls(TokenOp::Load) - before;
    assert!((5..=30).contains(&reads), "{reads} reads in ten minutes");
    log_out(&world, id).await;
    for wait in waits {
        assert_eq!(wait.await.unwrap().kind(), RefreshErrorKind::LoggedOut);
    }
}

/// Nobody is there whose session could slide.
#[tokio::test]
async fn a_refresh_by_a_stream_does_not_touch_the_session() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let tokens = tokens_of(&world, id).await;
    let before = world.stored(id).await;
    world.clock.advance(LIFE);
    tokens.token().await.expect("refreshed");
    assert_eq!(world.issuer.refreshes(), 1);
    assert_eq!(world.stored(id).await, before);
}

#[tokio::test]
async fn the_handle_of_a_sessions_login_goes_on_without_the_session() {
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    let handle = tokens_of(&world, id).await.handle();
    world.session(id).flush().await.expect("the session is gone");
    let job = world.refresher.tokens(&handle);
    world.expire();
    assert!(job.token().await.is_ok());
    world.refresher.end(&handle).await.expect("ended");
    assert_eq!(job.token().await.expect_err("ended").kind(), RefreshErrorKind::LoggedOut);
}

/// Each look reads the record, and a look must not cause the next one.
#[tokio::test(start_paused = true)]
async fn with_confirm_after_0_a_wait_does_not_spin() {
    let world = World::swapping_with(|builder| {
        builder.policy(RefreshPolicy::default().confirm_after(Duration::ZERO))
    });
    let id = world.log_in("alice").await;
    let (ended, changed) = both_waits(&world, id).await;
    let before = world.tokens.calls(TokenOp::Load);
    for _ in 0..1000 {
        // The clock has to move, or nothing has to be read again.
        world.clock.advance(Duration::from_micros(1));
        tokio::task::yield_now().await;
    }
    let reads = world.tokens.calls(TokenOp::Load) - before;
    assert!(reads < 10, "{reads} reads at one moment");
    log_out(&world, id).await;
    assert_eq!(ended.await.unwrap().kind(), RefreshErrorKind::LoggedOut);
    assert!(changed.await.unwrap().is_err());
}
