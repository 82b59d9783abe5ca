//! The provider is down: what a request gets, before and after its token expires, and how long it
//! waits.

use std::{pin::pin, time::Duration};

use futures_util::poll;
use support::{TokenOp, World, settle};
use tower_token_refresh::{
    Logout, OnUnavailable, RefreshErrorKind, RefreshPolicy, testing::Endpoint,
};

/// By then the provider is asked again, however often it has failed.
const WELL_AGAIN: Duration = Duration::from_secs(60);

fn lenient() -> RefreshPolicy {
    let for_at_most = Duration::from_secs(300);
    RefreshPolicy::default().on_unavailable(OnUnavailable::ServeExpired { for_at_most })
}

#[tokio::test(start_paused = true)]
async fn nobody_notices_an_outage_that_is_shorter_than_the_rest_of_the_tokens_life() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.issuer.set_down(true);
    for second in 0..60 {
        let served = world.refresher.valid_token(&world.session(id)).await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        let token = served.unwrap_or_else(|error| panic!("second {second}: {error}"));
        assert!(!token.is_stale() && world.issuer.is_access_token_live(token.secret()));
        world.clock.advance(Duration::from_secs(1));
    }
    world.issuer.set_down(false);
    world.clock.advance(WELL_AGAIN);
    let token =
        world.refresher.valid_token(&world.session(id)).await.expect("the provider is back");
    assert!(world.issuer.is_access_token_live(token.secret()));
}

/// The outage is an old one, and the circuit as slow as it gets. The provider is back eight seconds
/// before the tokens expire.
#[tokio::test(start_paused = true)]
async fn nobody_of_many_notices_an_outage_that_ends_shortly_before_their_tokens_expire() {
    for _ in 0..5 {
        let world = World::on_memory();
        let refused = world.log_in("refused").await;
        world.expire();
        world.issuer.set_down(true);
        let mut ids = Vec::new();
        for second in -60..75 {
            if second == 0 {
                for user in 0..20 {
                    ids.push(world.log_in(&format!("user {user}")).await);
                }
            }
            world.issuer.set_down(second < 52);
            for id in &ids {
                let served = world.refresher.valid_token(&world.session(*id)).await;
                served.unwrap_or_else(|error| panic!("second {second}: {error}"));
            }
            let told = world.refresher.valid_token(&world.session(refused)).await;
            assert!(told.is_err() || second >= 52);
            settle().await;
            // For what waits by the runtime's timer.
            tokio::time::sleep(Duration::from_secs(1)).await;
            world.clock.advance(Duration::from_secs(1));
        }
        for id in ids {
            let refresh_token = world.stored_refresh_token(id).await.expect("logged in");
            assert!(world.issuer.is_refresh_token_live(&refresh_token));
            assert!(world.stored_tokens(id).await.generation() > Some(1));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn after_the_expiry_an_outage_is_a_503() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.expire();
    world.issuer.set_down(true);
    let error = world.refresher.valid_token(&world.session(id)).await.expect_err("down");
    assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
    assert!(error.retry_after().is_some());
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_is_served_if_that_is_asked_for_and_marked() {
    let world = World::with(|builder| builder.policy(lenient()));
    let id = world.log_in("alice").await;
    let fresh = world.refresher.valid_token(&world.session(id)).await.unwrap();
    assert!(!fresh.is_stale());
    world.expire();
    world.issuer.set_down(true);

    let served = world.refresher.valid_token(&world.session(id)).await.expect("served");
    assert!(served.is_stale());
    assert_eq!(served.secret(), fresh.secret());

    world.clock.advance(Duration::from_secs(299));
    assert!(world.refresher.valid_token(&world.session(id)).await.expect("served").is_stale());
    world.clock.advance(Duration::from_secs(1));
    let error = world.refresher.valid_token(&world.session(id)).await.expect_err("too old by now");
    assert_eq!(error.kind(), RefreshErrorKind::Unavailable);

    world.issuer.set_down(false);
    world.clock.advance(WELL_AGAIN);
    let token = world.refresher.valid_token(&world.session(id)).await.expect("refreshed");
    assert!(!token.is_stale() && world.issuer.is_access_token_live(token.secret()));
}

/// Only an outage is forgiven: a login that is over is over.
#[tokio::test(start_paused = true)]
async fn an_expired_token_is_not_served_to_who_is_logged_out() {
    let world = World::with(|builder| builder.policy(lenient()));
    let id = world.log_in("alice").await;
    world.expire();
    world.issuer.end_session("alice");
    let error =
        world.refresher.valid_token(&world.session(id)).await.expect_err("ended at the provider");
    assert_eq!(error.kind(), RefreshErrorKind::SessionExpired);

    let id = world.log_in("alice").await;
    world.expire();
    world.issuer.set_down(true);
    let post = world.issuer.gate_before(Endpoint::Token);
    let waiter = world.ask(&world.session(id));
    post.reached().await;
    world.refresher.log_out(&world.session(id), Logout::EndSession).await.expect("logged out");
    post.open();
    let error = waiter.await.unwrap().expect_err("logged out meanwhile");
    assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
}

#[tokio::test]
async fn an_expired_token_is_served_in_an_outage_only() {
    let world = World::with(|builder| builder.policy(lenient()));
    let id = world.log_in("alice").await;
    world.expire();
    world.issuer.fail_next(403, "a firewall's");
    let error = world
        .refresher
        .valid_token(&world.session(id))
        .await
        .expect_err("somebody has to look at it");
    assert_eq!(error.kind(), RefreshErrorKind::InvalidResponse);
    world.clock.advance(Duration::from_secs(1));
    world.issuer.fail_next_oauth(400, "invalid_scope");
    let error = world
        .refresher
        .valid_token(&world.session(id))
        .await
        .expect_err("somebody has to look at it");
    assert_eq!(error.kind(), RefreshErrorKind::Misconfigured);
}

/// An API that has refused the token is not helped with it.
#[tokio::test(start_paused = true)]
async fn a_rejected_token_is_not_served_again() {
    let world = World::with(|builder| builder.policy(lenient()));
    let id = world.log_in("alice").await;
    let rejected = world.refresher.valid_token(&world.session(id)).await.unwrap();
    world.issuer.set_down(true);
    let error = world.refresher.newer_token(&world.session(id), &rejected).await.expect_err("down");
    assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_no_longer_than_its_limit_and_the_refresh_goes_on() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.expire();
    let answer = world.issuer.gate_after(Endpoint::Token);
    let session = world.session(id);
    let waiting =
        tokio::time::timeout(Duration::from_millis(10_001), world.refresher.valid_token(&session));
    let error = waiting.await.expect("not a moment longer").expect_err("no token yet");
    assert_eq!(error.kind(), RefreshErrorKind::WaitTimeout);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(1)));

    answer.open();
    settle().await;
    let token = world.refresher.valid_token(&world.session(id)).await.expect("it has landed");
    assert!(world.issuer.is_access_token_live(token.secret()));
    assert_eq!(world.issuer.refresh_requests(), 1);
}

/// It has waited for the token record before it waits for the refresh.
#[tokio::test(start_paused = true)]
async fn one_limit_is_for_the_token_record_and_the_refresh_together() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let sessions = [world.request(id).await, world.request(id).await];
    let rejected = world.refresher.valid_token(&sessions[0]).await.expect("good");
    world.expire();
    let _answer = world.issuer.gate_after(Endpoint::Token);
    for (nth, session) in sessions.into_iter().enumerate() {
        world.clock.advance(Duration::from_secs(61));
        let record = world.tokens.gate_before(TokenOp::Load);
        let (refresher, rejected) = (world.refresher.clone(), rejected.clone());
        let asking = tokio::spawn(async move {
            match nth {
                0 => refresher.valid_token(&session).await,
                _ => refresher.newer_token(&session, &rejected).await,
            }
        });
        record.reached().await;
        tokio::time::sleep(Duration::from_secs(6)).await;
        record.open();

        let rest = tokio::time::timeout(Duration::from_millis(4_001), asking);
        let error = rest.await.expect("not a moment longer").expect("no panic").expect_err("late");
        assert_eq!(error.kind(), RefreshErrorKind::WaitTimeout);
    }
}

/// The provider has answered and the store hangs: the new tokens are there, so nobody is sent away.
#[tokio::test(start_paused = true)]
async fn who_has_waited_long_enough_for_the_store_is_served_without_it() {
    let policy = RefreshPolicy::default().wait_timeout(Duration::from_secs(2));
    let world = World::with(|builder| builder.policy(policy));
    let id = world.log_in("alice").await;
    world.expire();
    let stuck = world.tokens.gate_before(TokenOp::Put);
    let session = world.session(id);
    let waiting =
        tokio::time::timeout(Duration::from_millis(2_001), world.refresher.valid_token(&session));
    let token = waiting.await.expect("in time").expect("served");
    assert!(world.issuer.is_access_token_live(token.secret()));
    stuck.open();
    settle().await;
    assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
    world.assert_logged_in(id).await;
}

/// Within the leeway the old token is better than none, and past it one may have asked for it; not
/// for who has logged out, though.
#[tokio::test]
async fn a_request_whose_refresh_failed_just_before_its_log_out_gets_nothing() {
    for age in [57, 61] {
        let world = World::with(|builder| builder.policy(lenient()));
        let id = world.log_in("alice").await;
        let session = world.request(id).await;
        world.clock.advance(Duration::from_secs(age));
        world.issuer.fail_next(500, "");
        // Polled by hand, so that it hears of the failure only after the logout.
        let mut waiting = pin!(world.refresher.valid_token(&session));
        while world.issuer.token_requests() == 0 {
            assert!(poll!(&mut waiting).is_pending());
            settle().await;
        }

        world.refresher.log_out(&world.session(id), Logout::EndSession).await.unwrap();

        assert_eq!(waiting.await.unwrap_err().kind(), RefreshErrorKind::LoggedOut);
    }
}
