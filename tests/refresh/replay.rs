//! A refresh whose answer got lost: the refresh token may be used up, and presenting it again may be punished.


use std::time::Duration;

use support::{StoredTokens, World, settle, Op, variants::leave};
use tower_sessions::session::Id;
use tower_token_refresh::{
    RefreshError, RefreshErrorKind, RefreshPolicy, testing::Endpoint, tower_sessions,
};

async fn refused(world: &World, id: Id) -> RefreshError {
    world.refresher.valid_token(&world.session(id)).await.expect_err("no token")
}

/// A user whose token has expired, and a provider that has not used up what it was sent.
async fn after_a_lost_request(policy: RefreshPolicy) -> (World, Id) {
    let world = World::with(|builder| builder.policy(policy));
    let id = world.log_in("alice").await;
    world.expire();
    world.issuer.fail_next(500, "");
    assert_eq!(refused(&world, id).await.kind(), RefreshErrorKind::Unavailable);
    assert_eq!(world.issuer.refresh_requests(), 1);
    (world, id)
}

#[tokio::test]
async fn a_request_that_never_arrived_is_made_up_for() {
    let (world, id) = after_a_lost_request(RefreshPolicy::default()).await;

    let error = refused(&world, id).await;
    assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
    assert_eq!(world.issuer.refresh_requests(), 1, "not at once");
    world.clock.advance(error.retry_after().expect("a time to come back"));

    let token = world.refresher.valid_token(&world.session(id)).await.expect("tried again");
    assert!(world.issuer.is_access_token_live(token.secret()));
    assert_eq!(world.issuer.refresh_requests(), 2);
    assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
}

/// The token was used up: the replay is punished. It was lost before.
#[tokio::test]
async fn a_token_that_was_used_up_ends_the_login_at_its_replay() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.expire();
    world.issuer.drop_answer_next();
    let error = refused(&world, id).await;
    assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
    world.clock.advance(refused(&world, id).await.retry_after().expect("a time to come back"));

    assert_eq!(refused(&world, id).await.kind(), RefreshErrorKind::SessionExpired);
    assert!(matches!(world.stored_tokens(id).await, StoredTokens::Tombstone { .. }));
}

/// Presenting a consumed token kills the access token as well: while that is good, nothing is risked.
#[tokio::test]
async fn nothing_is_presented_again_while_the_old_access_token_is_good() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.clock.advance(Duration::from_secs(46));
    world.issuer.drop_answer_next();
    let first =
        world.refresher.valid_token(&world.session(id)).await.expect("early, in the background");
    settle().await;
    let loads = world.sessions.calls(Op::Load);
    for _ in 0..8 {
        world.clock.advance(Duration::from_secs(1));
        let served = world.refresher.valid_token(&world.session(id)).await.expect("still good");
        settle().await;
        assert!(world.issuer.is_access_token_live(served.secret()));
    }
    assert_eq!(
        world.sessions.calls(Op::Load) - loads,
        8,
        "nor is a flight started that could not present it"
    );
    let newer = world
        .refresher
        .newer_token(&world.session(id), &first)
        .await
        .expect_err("not even for an API's 401");
    assert_eq!(newer.kind(), RefreshErrorKind::Unavailable);
    assert_eq!(newer.retry_after(), Some(Duration::from_secs(6)), "when it expires");
    world.clock.advance(Duration::from_secs(3));
    let last = world
        .refresher
        .valid_token(&world.session(id))
        .await
        .expect("within the leeway it is better than none");
    assert_eq!(last.secret(), first.secret());
    assert_eq!(world.issuer.max_presented(), 1);
    assert!(world.issuer.is_access_token_live(first.secret()));
}

#[tokio::test(start_paused = true)]
async fn replays_come_one_at_a_time_and_ever_more_rarely() {
    let (world, id) = after_a_lost_request(RefreshPolicy::default()).await;
    let mut attempts = Vec::new();
    for _ in 0..300 {
        world.issuer.fail_next(500, "");
        let waiters: Vec<_> = (0..5).map(|_| world.ask(&world.session(id))).collect();
        for waiter in waiters {
            assert!(waiter.await.unwrap().is_err());
        }
        world.issuer.clear_script();
        attempts.push(world.issuer.refresh_requests());
        world.clock.advance(Duration::from_secs(1));
    }
    assert!((2..=4).contains(&attempts[3]), "1 and 2 s, less up to half: {attempts:?}");
    assert!((7..=14).contains(&attempts[299]), "doubling to a minute: {:?}", attempts[299]);
}

#[tokio::test]
async fn without_replay_the_login_ends() {
    let (world, id) = after_a_lost_request(RefreshPolicy::default().replay(false)).await;
    assert_eq!(refused(&world, id).await.kind(), RefreshErrorKind::SessionExpired);
    assert!(matches!(world.stored_tokens(id).await, StoredTokens::Tombstone { .. }));
    assert_eq!(world.issuer.refresh_requests(), 1);
}

/// Only the provider can say that the refresh token's life is over: our clock may be wrong.
#[tokio::test]
async fn a_refresh_token_that_has_expired_is_told_so_by_the_provider() {
    let (world, id) = after_a_lost_request(RefreshPolicy::default()).await;
    world.clock.advance(Duration::from_secs(1800));
    assert_eq!(refused(&world, id).await.kind(), RefreshErrorKind::SessionExpired);
    assert_eq!(world.issuer.refresh_requests(), 2);
}

/// These say that the token was not used up: it may be presented again at once, by the same refresh or the next.
#[tokio::test(start_paused = true)]
async fn a_clear_refusal_is_not_ambiguous() {
    for (status, body) in
        [(503, ""), (429, ""), (400, r#"{"error":"temporarily_unavailable"}"#), (403, "<html>")]
    {
        let world = World::on_memory();
        let id = world.log_in("alice").await;
        world.expire();
        world.issuer.fail_next(status, body);
        if status == 403 {
            refused(&world, id).await;
        }
        assert!(world.refresher.valid_token(&world.session(id)).await.is_ok(), "{status} {body}");
        assert_eq!(world.issuer.refresh_requests(), 2, "{status} {body}");
    }
}

/// A clear refusal of a replay says nothing about the request before it.
#[tokio::test]
async fn a_refused_replay_leaves_the_first_request_in_doubt() {
    let (world, id) = after_a_lost_request(RefreshPolicy::default()).await;
    world.clock.advance(Duration::from_secs(1));
    world.issuer.fail_next(403, "<html>");
    assert_eq!(refused(&world, id).await.kind(), RefreshErrorKind::InvalidResponse);
    let error = refused(&world, id).await;
    assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
    assert_eq!(world.issuer.refresh_requests(), 2, "with a pause before the next");
}

/// Another process has had the answer: its set is in the store, and nothing is presented at all.
#[tokio::test]
async fn a_set_that_another_process_stored_ends_the_doubt() {
    let (world, id) = after_a_lost_request(RefreshPolicy::default()).await;
    let other = world.restarted();
    other
        .valid_token(&support::variants::session_at(&other, id))
        .await
        .expect("the other process refreshes");
    let presented = world.issuer.refresh_requests();

    let token = world.refresher.valid_token(&world.session(id)).await.expect("found in the store");
    assert!(world.issuer.is_access_token_live(token.secret()));
    assert_eq!(world.issuer.refresh_requests(), presented);
}

/// A request whose flight is broken off by a panic after it was sent counts as one without an answer.
#[tokio::test]
async fn nobody_waits_and_the_answer_is_lost_all_the_same() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.expire();
    world.issuer.drop_answer_next();
    let post = world.issuer.gate_before(Endpoint::Token);
    let request = world.ask(&world.session(id));
    post.reached().await;
    leave(request).await;
    post.open();
    settle().await;
    assert_eq!(refused(&world, id).await.kind(), RefreshErrorKind::Unavailable);
    assert_eq!(world.issuer.refresh_requests(), 1);
}

/// The doubt outlives the ledger's ten minutes: a consumed token must not kill an access token that is good for an hour.
#[tokio::test]
async fn the_doubt_is_remembered_while_the_access_token_lives() {
    let hour = Duration::from_secs(3600);
    let world = World::configured(|issuer| issuer.access_token_lifetime(hour), |builder| builder);
    let id = world.log_in("alice").await;
    let rejected = world.refresher.valid_token(&world.session(id)).await.expect("fresh");
    world.issuer.drop_answer_next();
    assert!(world.refresher.newer_token(&world.session(id), &rejected).await.is_err());
    for _ in 0..3 {
        // Other logins come and go, and the ledger is swept.
        world.clock.advance(hour / 5);
        world.log_in("bob").await;
    }
    let error = world
        .refresher
        .newer_token(&world.session(id), &rejected)
        .await
        .expect_err("still in doubt");
    assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
    assert_eq!(world.issuer.refresh_requests(), 1);
    assert!(world.issuer.is_access_token_live(rejected.secret()));
}
