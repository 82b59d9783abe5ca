//! A refresh whose answer got lost: the refresh token may be used up, and presenting it again may
//! be punished.

use std::{
    future::poll_fn,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use support::{TokenOp, World, log::Log, on_every_store, settle, variants::leave};
use tower_sessions::session::Id;
use tower_token_refresh::{
    RefreshErrorKind, RefreshPolicy, Transport, testing::Endpoint, tower_sessions,
};

use super::{refused, served};

/// A user whose token has expired, and a provider that has not used up what it was sent.
async fn after_a_lost_request(world: &World) -> Id {
    let id = world.log_in("alice").await;
    world.expire();
    world.issuer.fail_next(500, "");
    assert_eq!(refused(world, id).await.kind(), RefreshErrorKind::Unavailable);
    assert_eq!(world.issuer.refresh_requests(), 1);
    id
}

/// The request is told when to come back, and that time passes.
async fn come_back_when_told(world: &World, id: Id) {
    let error = refused(world, id).await;
    assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
    world.clock.advance(error.retry_after().expect("a time to come back"));
}

on_every_store! {
    async fn a_request_that_never_arrived_is_made_up_for(world: World) {
        let id = after_a_lost_request(&world).await;
        assert!(world.stored_tokens(id).await.is_presenting(), "the store knows of the doubt");

        come_back_when_told(&world, id).await;
        assert_eq!(world.issuer.refresh_requests(), 1, "not at once");

        let token = served(&world, id).await;
        assert!(world.issuer.is_access_token_live(token.secret()));
        assert_eq!(world.issuer.refresh_requests(), 2);
        assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
        assert!(world.stored_tokens(id).await.is_live());
    }

    #[doc = "Presenting a consumed token kills the access token as well: while that is good, nothing \
             is risked."]
    async fn nothing_is_presented_again_while_the_old_access_token_is_good(world: World) {
        let id = world.log_in("alice").await;
        world.clock.advance(Duration::from_secs(46));
        world.issuer.drop_answer_next();
        let first = served(&world, id).await;
        settle().await;
        let loads = world.tokens.calls(TokenOp::Load);
        for _ in 0..8 {
            world.clock.advance(Duration::from_secs(1));
            let token = served(&world, id).await;
            settle().await;
            assert!(world.issuer.is_access_token_live(token.secret()));
        }
        assert_eq!(world.tokens.calls(TokenOp::Load), loads, "nor is a flight started");
        let session = world.session(id);
        let newer = world.refresher.newer_token(&session, &first).await;
        let error = newer.expect_err("not even for an API's 401");
        assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
        assert_eq!(error.retry_after(), Some(Duration::from_secs(6)), "when it expires");
        world.clock.advance(Duration::from_secs(3));
        let last = served(&world, id).await;
        assert_eq!(last.secret(), first.secret(), "within the leeway it is better than none");
        assert_eq!(world.issuer.max_presented(), 1);
        assert!(world.issuer.is_access_token_live(first.secret()));
    }

    async fn nobody_waits_and_the_answer_is_lost_all_the_same(world: World) {
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

    #[doc = "A clear refusal of a replay says nothing about the request before it."]
    async fn a_refused_replay_leaves_the_first_request_in_doubt(world: World) {
        let id = after_a_lost_request(&world).await;
        world.clock.advance(Duration::from_secs(1));
        world.issuer.fail_next(403, "<html>");
        assert_eq!(refused(&world, id).await.kind(), RefreshErrorKind::InvalidResponse);
        assert!(world.stored_tokens(id).await.is_presenting(), "for other processes as well");
        assert_eq!(refused(&world, id).await.kind(), RefreshErrorKind::Unavailable);
        assert_eq!(world.issuer.refresh_requests(), 2, "with a pause before the next");
    }
}

/// The token was used up: the replay is punished. It was lost before.
#[tokio::test(start_paused = true)]
async fn a_token_that_was_used_up_ends_the_login_at_its_replay() {
    for world in [World::on_memory(), World::on_swapping()] {
        let id = world.log_in("alice").await;
        world.expire();
        world.issuer.drop_answer_next();
        assert_eq!(refused(&world, id).await.kind(), RefreshErrorKind::Unavailable);
        come_back_when_told(&world, id).await;

        assert_eq!(refused(&world, id).await.kind(), RefreshErrorKind::SessionExpired);
        assert!(world.stored_tokens(id).await.is_ended());
    }
}

#[tokio::test(start_paused = true)]
async fn replays_come_one_at_a_time_and_ever_more_rarely() {
    let world = World::on_memory();
    let id = after_a_lost_request(&world).await;
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
    let pauses: Vec<_> = attempts.chunk_by(|one, next| one == next).map(<[_]>::len).collect();
    assert!(pauses.iter().all(|pause| *pause <= 60), "never longer: {pauses:?}");
}

#[tokio::test]
async fn each_replay_is_a_line_in_the_log() {
    let world = World::on_memory();
    let log = Log::of_this_thread();
    let id = after_a_lost_request(&world).await;
    come_back_when_told(&world, id).await;
    let replays = || {
        let lines = log.lines_at("WARN");
        lines.into_iter().filter(|line| line.contains("was presented again")).count()
    };
    assert_eq!(replays(), 0);
    served(&world, id).await;
    assert_eq!(replays(), 1);
}

#[tokio::test]
async fn without_replay_the_login_ends() {
    let policy = || RefreshPolicy::default().replay(false);
    for world in [
        World::with(|builder| builder.policy(policy())),
        World::swapping_with(|builder| builder.policy(policy())),
    ] {
        let id = after_a_lost_request(&world).await;
        assert_eq!(refused(&world, id).await.kind(), RefreshErrorKind::SessionExpired);
        assert!(world.stored_tokens(id).await.is_ended());
        assert_eq!(world.issuer.refresh_requests(), 1);
    }
}

/// It may be good for minutes yet, and its user is not sent away before that.
#[tokio::test]
async fn without_replay_the_login_lasts_as_long_as_its_access_token() {
    let policy = RefreshPolicy::default().replay(false);
    let world = World::with(|builder| builder.policy(policy));
    let id = world.log_in("alice").await;
    world.clock.advance(Duration::from_secs(46));
    world.issuer.drop_answer_next();
    let first = served(&world, id).await;
    settle().await;
    world.clock.advance(Duration::from_secs(13));
    assert_eq!(served(&world, id).await.secret(), first.secret());
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(refused(&world, id).await.kind(), RefreshErrorKind::SessionExpired);
    assert_eq!(world.issuer.max_presented(), 1);
}

/// Only the provider can say that the refresh token's life is over: our clock may be wrong.
#[tokio::test(start_paused = true)]
async fn a_refresh_token_that_has_expired_is_told_so_by_the_provider() {
    let world = World::on_memory();
    let id = after_a_lost_request(&world).await;
    world.clock.advance(Duration::from_secs(1800));
    assert_eq!(refused(&world, id).await.kind(), RefreshErrorKind::SessionExpired);
    assert_eq!(world.issuer.refresh_requests(), 2);
}

/// These say that the token was not used up: it may be presented again at once, by the same refresh
/// or the next.
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
            world.clock.advance(Duration::from_secs(1));
        }
        let token = world.refresher.valid_token(&world.session(id)).await;
        assert!(token.is_ok(), "{status} {body}");
        assert_eq!(world.issuer.refresh_requests(), 2, "{status} {body}");
    }
}

/// A replay that was not even sent says nothing about the request before it either.
#[tokio::test]
async fn a_replay_that_the_breaker_holds_back_leaves_the_first_request_in_doubt() {
    let world = World::on_memory();
    let id = after_a_lost_request(&world).await;
    for user in 0..5 {
        let unlucky = world.log_in(&format!("unlucky {user}")).await;
        world.expire();
        world.issuer.drop_request_next_at(Endpoint::Token);
        refused(&world, unlucky).await;
    }
    let sent = world.issuer.refresh_requests();
    assert_eq!(refused(&world, id).await.kind(), RefreshErrorKind::Unavailable);
    assert_eq!(world.issuer.refresh_requests(), sent, "the breaker is open");

    world.clock.advance(Duration::from_secs(5));
    world.issuer.fail_next(403, "<html>");
    assert_eq!(refused(&world, id).await.kind(), RefreshErrorKind::InvalidResponse);
    assert!(world.stored_tokens(id).await.is_presenting());
    assert_eq!(refused(&world, id).await.kind(), RefreshErrorKind::Unavailable);
    assert_eq!(world.issuer.refresh_requests(), sent + 1, "with a pause before the next");
}

/// A flight that breaks off after its request has been sent counts as one without an answer.
#[tokio::test]
async fn a_panic_after_the_request_leaves_a_doubt() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    let world = World::reached_by(|_| {
        Transport::new(tower::service_fn(move |_: http::Request<bytes::Bytes>| {
            counted.fetch_add(1, Ordering::SeqCst);
            poll_fn(|_| -> Poll<Result<http::Response<String>, io::Error>> { panic!("on purpose") })
        }))
    });
    let id = world.log_in("alice").await;
    world.expire();
    assert_eq!(refused(&world, id).await.kind(), RefreshErrorKind::Internal);
    come_back_when_told(&world, id).await;
    assert_eq!(sent.load(Ordering::SeqCst), 1, "not at once");
    assert_eq!(refused(&world, id).await.kind(), RefreshErrorKind::Internal);
    assert_eq!(sent.load(Ordering::SeqCst), 2);
}

/// A consumed token must not kill an access token that is good for an hour.
#[tokio::test]
async fn the_doubt_is_remembered_while_the_access_token_lives() {
    let hour = Duration::from_secs(3600);
    let world = World::configured(|issuer| issuer.access_token_lifetime(hour), |builder| builder);
    let id = world.log_in("alice").await;
    let rejected = served(&world, id).await;
    world.issuer.drop_answer_next();
    assert!(world.refresher.newer_token(&world.session(id), &rejected).await.is_err());
    for _ in 0..3 {
        // Other logins come and go, and caches are swept.
        world.clock.advance(hour / 5);
        world.log_in("bob").await;
    }
    let newer = world.refresher.newer_token(&world.session(id), &rejected).await;
    assert_eq!(newer.expect_err("still in doubt").kind(), RefreshErrorKind::Unavailable);
    assert_eq!(world.issuer.refresh_requests(), 1);
    assert!(world.issuer.is_access_token_live(rejected.secret()));
}
