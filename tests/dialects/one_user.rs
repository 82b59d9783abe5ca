//! One user's trouble is one user's.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use http::Response;
use support::tokio_now;
use tower_token_refresh::RefreshErrorKind;

use crate::stage::{Counted, RETRY_AFTER, kind, response, with_header, world};

const SECOND: Duration = Duration::from_secs(1);

fn busy(status: u16, wait: &'static str) -> Response<bytes::Bytes> {
    with_header(response(status, ""), RETRY_AFTER, wait)
}

#[tokio::test]
async fn a_429_holds_back_one_login_for_as_long_as_it_says() {
    let stage = Counted::new();
    let world = &stage.world;
    let (alice, bob) = (world.log_in("alice").await, world.log_in("bob").await);
    world.expire();
    let token = world.stored_refresh_token(alice).await.expect("logged in");
    let posts = stage.answer_to(vec![token], || busy(429, "100"));
    for _ in 0..10 {
        let error = stage.ask(alice).await.expect_err("later");
        assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
        assert_eq!(error.retry_after(), Some(SECOND * 100));
    }
    assert_eq!(posts.load(SeqCst), 1);
    assert_eq!(kind(world, bob).await, Ok(()));
    world.clock.advance(SECOND * 99);
    assert_eq!(stage.ask(alice).await.expect_err("later").retry_after(), Some(SECOND));
    stage.director.honest();
    world.clock.advance(SECOND);
    assert_eq!(kind(world, alice).await, Ok(()));
    world.assert_logged_in(alice).await;
}

/// Paused time: who waits, waits for no real second.
#[tokio::test(start_paused = true)]
async fn a_short_retry_after_of_a_503_makes_the_others_wait_instead_of_failing() {
    let (world, director) = world();
    let users = [world.log_in("a").await, world.log_in("b").await, world.log_in("c").await];
    world.expire();
    let first = std::sync::atomic::AtomicBool::new(true);
    director.rule(move |issuer, request| {
        if first.swap(false, std::sync::atomic::Ordering::SeqCst) {
            busy(503, "3")
        } else {
            issuer.handle(request)
        }
    });
    let started = tokio_now();
    let first = world.ask(&world.session(users[0]));
    // Its 503 has come.
    tokio::time::sleep(SECOND).await;
    let (b, c) = tokio::join!(kind(&world, users[1]), kind(&world, users[2]));
    assert_eq!((b, c), (Ok(()), Ok(())));
    assert!(first.await.expect("no panic").is_ok());
    assert!((SECOND * 3..SECOND * 5).contains(&started.elapsed()));
    for id in users {
        world.assert_logged_in(id).await;
    }
}

/// Bob asks after each of them: there is no moment in which he is held back.
#[tokio::test]
async fn one_token_that_gets_500s_neither_opens_the_breaker_nor_is_sent_with_every_page_view() {
    let stage = Counted::new();
    let world = &stage.world;
    let alice = world.log_in("alice").await;
    let mut others = Vec::new();
    for n in 0..20 {
        others.push(world.log_in(&n.to_string()).await);
    }
    world.expire();
    let token = world.stored_refresh_token(alice).await.expect("logged in");
    let posts = stage.answer_to(vec![token], || response(500, ""));
    for (second, other) in others.into_iter().enumerate() {
        for _ in 0..10 {
            assert!(stage.ask(alice).await.is_err());
        }
        if second > 15 {
            assert!(posts.load(SeqCst) >= 5, "as many as open the breaker");
            assert_eq!(kind(world, other).await, Ok(()));
        }
        world.clock.advance(SECOND);
    }
    assert!((5..10).contains(&posts.load(SeqCst)), "{posts:?} in 20 s");
}
