//! A refresh that fails is told to every waiter and kept for nobody; so is one that panics.


use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use support::{
    StoredTokens, World, settle, shown_generation,
    Op,
    variants::{leave, session_at},
};
use http_body_util::Full;
use tokio::task::JoinHandle;
use tower_token_refresh::{
    AccessToken, Logout, RefreshError, RefreshErrorKind, Transport,
    testing::{Endpoint, StrictIssuer},
};

type Request = JoinHandle<Result<AccessToken, RefreshError>>;

async fn kind_of(request: Request) -> RefreshErrorKind {
    request.await.expect("the caller itself does not panic").expect_err("no token").kind()
}

#[tokio::test]
async fn every_waiter_gets_the_error_and_the_next_caller_tries_afresh() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.expire();
    world.issuer.fail_next(403, "<html>");
    let post = world.issuer.gate_before(Endpoint::Token);
    let waiters: Vec<_> = (0..10).map(|_| world.ask(&world.session(id))).collect();
    post.reached().await;
    settle().await;
    post.open();
    for waiter in waiters {
        assert_eq!(kind_of(waiter).await, RefreshErrorKind::InvalidResponse);
    }
    assert_eq!(world.issuer.refresh_requests(), 1);

    let token = world.refresher.valid_token(&world.session(id)).await.unwrap();
    assert!(world.issuer.is_access_token_live(token.secret()));
    assert_eq!(world.issuer.refresh_requests(), 2);
}

#[tokio::test]
async fn a_failed_refresh_of_one_user_is_no_error_for_another() {
    let world = World::on_memory();
    let (alice, bob) = (world.log_in("alice").await, world.log_in("bob").await);
    world.expire();
    world.issuer.fail_next(500, "out of order");
    assert!(world.refresher.valid_token(&world.session(alice)).await.is_err());
    assert!(world.refresher.valid_token(&world.session(bob)).await.is_ok());
}

#[tokio::test]
async fn a_panic_at_the_re_read_is_an_error_and_the_next_call_flies_again() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let sessions = [world.request(id).await, world.request(id).await];
    world.expire();
    world.sessions.panic_next(Op::Load);
    let re_read = world.sessions.gate_before(Op::Load);
    let waiters = sessions.each_ref().map(|session| world.ask(session));
    re_read.reached().await;
    settle().await;
    re_read.open();
    for waiter in waiters {
        assert_eq!(kind_of(waiter).await, RefreshErrorKind::Internal);
    }
    assert_eq!(world.issuer.refresh_requests(), 0);

    assert!(world.refresher.valid_token(&world.session(id)).await.is_ok());
    assert_eq!(world.issuer.refresh_requests(), 1);
    world.assert_logged_in(id).await;
}

/// Panics the first time, in place of sending.
fn panicking_once(issuer: &StrictIssuer, armed: &Arc<AtomicBool>) -> Transport {
    let (issuer, armed) = (issuer.clone(), armed.clone());
    Transport::new(tower::service_fn(move |request| {
        let (issuer, armed) = (issuer.clone(), armed.clone());
        async move {
            assert!(!armed.swap(false, Ordering::SeqCst), "the transport panics on purpose");
            Ok::<_, io::Error>(issuer.exchange(request).await?.map(Full::new))
        }
    }))
}

#[tokio::test]
async fn a_panic_in_the_transport_is_an_error_and_the_token_is_presented_again_after_a_pause() {
    let armed = Arc::new(AtomicBool::new(true));
    let world = World::reached_by(|issuer| panicking_once(issuer, &armed));
    let id = world.log_in("alice").await;
    world.expire();
    let sessions = [world.request(id).await, world.request(id).await];
    let re_read = world.sessions.gate_after(Op::Load);
    let waiters = sessions.each_ref().map(|session| world.ask(session));
    re_read.reached().await;
    settle().await;
    re_read.open();
    for waiter in waiters {
        assert_eq!(kind_of(waiter).await, RefreshErrorKind::Internal);
    }

    // Nobody knows whether the request went out before the panic.
    let error = world.refresher.valid_token(&world.session(id)).await.expect_err("not at once");
    assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
    assert_eq!(world.issuer.refresh_requests(), 0);
    world.clock.advance(error.retry_after().expect("a time to come back"));
    assert!(world.refresher.valid_token(&world.session(id)).await.is_ok());
    assert_eq!(world.issuer.refresh_requests(), 1);
    world.assert_logged_in(id).await;
}

#[tokio::test]
async fn after_a_panic_in_the_write_back_the_next_call_gets_the_new_set_without_a_post() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.expire();
    world.sessions.panic_next(Op::Save);
    let write_back = world.sessions.gate_before(Op::Save);
    let waiters: Vec<_> = (0..10).map(|_| world.ask(&world.session(id))).collect();
    write_back.reached().await;
    settle().await;
    write_back.open();
    for waiter in waiters {
        assert_eq!(kind_of(waiter).await, RefreshErrorKind::Internal);
    }
    assert_eq!(world.stored_tokens(id).await.generation(), Some(1));

    let token = world.refresher.valid_token(&world.session(id)).await.unwrap();
    settle().await;

    assert!(world.issuer.is_access_token_live(token.secret()));
    assert_eq!(world.issuer.refresh_requests(), 1, "the consumed token is not presented again");
    assert_eq!(world.stored_tokens(id).await.generation(), Some(2), "and the store has the new one");
    world.assert_logged_in(id).await;
}

#[tokio::test]
async fn a_panic_while_logging_in_is_an_error_and_nobody_is_logged_in() {
    for step in [Op::Delete, Op::Create] {
        let world = World::on_memory();
        let session = world.session_with(None, None);
        let set =
            tower_token_refresh::TokenSet::from_response(world.issuer.log_in("alice")).unwrap();
        world.sessions.panic_next(step);
        let error = world.refresher.log_in(&session, set).await.unwrap_err();
        assert_eq!(error.kind(), RefreshErrorKind::Internal, "{step:?}");
        // The handler answers with a redirect, and tower-sessions saves what was modified.
        session.save().await.unwrap();
        let id = session.id().unwrap();
        assert_eq!(world.stored_tokens(id).await, StoredTokens::NoEntry, "{step:?}");
    }
}

#[tokio::test]
async fn a_refusal_after_another_process_was_faster_gives_the_newer_set() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let session = world.request(id).await;
    world.expire();
    let post = world.issuer.gate_before(Endpoint::Token);
    let slow = world.ask(&session);
    post.reached().await;
    let elsewhere = world.restarted();
    let theirs = elsewhere.valid_token(&session_at(&elsewhere, id)).await.unwrap();
    world.issuer.fail_next_oauth(400, "invalid_grant");
    post.open();

    let ours = slow.await.unwrap().unwrap();

    assert_eq!(ours.secret(), theirs.secret());
    assert_eq!(shown_generation(&session).await, Some(2));
    let refresh_token = world.stored_refresh_token(id).await.unwrap();
    assert!(world.issuer.is_refresh_token_live(&refresh_token));
}

// The winner has the answer and is writing it when the loser is refused.
#[tokio::test(start_paused = true)]
async fn a_refusal_waits_a_little_for_the_set_of_a_process_that_was_faster() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let session = world.request(id).await;
    world.expire();
    let (written, elsewhere) = (world.sessions.gate_before(Op::Save), world.restarted());
    let theirs = session_at(&elsewhere, id);
    let winner = tokio::spawn(async move { elsewhere.valid_token(&theirs).await });
    written.reached().await;
    world.issuer.fail_next_oauth(400, "invalid_grant");
    let loser = world.ask(&session);
    settle().await;
    assert_eq!(world.issuer.refresh_requests(), 2);
    written.open();

    let (theirs, ours) = (winner.await.unwrap().unwrap(), loser.await.unwrap().unwrap());

    assert_eq!(ours.secret(), theirs.secret());
    assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
}

#[tokio::test]
async fn after_a_refusal_the_session_is_over_for_good() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let (waiter, slow) = (world.session(id), world.request(id).await);
    world.expire();
    world.issuer.end_session("alice");
    let error = world.refresher.valid_token(&waiter).await.unwrap_err();
    assert_eq!(error.kind(), RefreshErrorKind::SessionExpired);
    assert!(matches!(world.stored_tokens(id).await, StoredTokens::Tombstone { .. }));

    let still_holds_the_snapshot = world.refresher.valid_token(&slow).await.unwrap_err();
    assert_eq!(still_holds_the_snapshot.kind(), RefreshErrorKind::LoggedOut);
    let loads_the_tombstone = world.refresher.valid_token(&world.session(id)).await.unwrap_err();
    assert_eq!(loads_the_tombstone.kind(), RefreshErrorKind::NoTokens);
    assert_eq!(world.issuer.refresh_requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_cannot_be_compared_with_the_store_keeps_the_tokens() {
    let world = World::patient();
    let id = world.log_in("alice").await;
    let session = world.request(id).await;
    world.expire();
    world.issuer.fail_next_oauth(400, "invalid_grant");
    let answer = world.issuer.gate_after(Endpoint::Token);
    let request = world.ask(&session);
    answer.reached().await;
    world.sessions.refuse(Op::Load);
    answer.open();

    assert_eq!(
        kind_of(request).await,
        RefreshErrorKind::Unavailable,
        "another process may have won"
    );
    assert_eq!(world.stored_tokens(id).await.generation(), Some(1));
}

#[tokio::test]
async fn waiters_are_told_of_a_log_out_at_once_and_what_the_flight_brings_is_revoked() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.expire();
    let answer = world.issuer.gate_after(Endpoint::Token);
    let waiter = world.ask(&world.session(id));
    answer.reached().await;
    world.refresher.log_out(&world.session(id), Logout::EndSession).await.unwrap();
    assert_eq!(
        kind_of(waiter).await,
        RefreshErrorKind::LoggedOut,
        "the provider has not answered yet"
    );
    let revoked = world.issuer.gate_after(Endpoint::Revocation);
    answer.open();
    revoked.reached().await;
    assert_eq!(world.stored_tokens(id).await, StoredTokens::NoRecord);
    for token in world.issuer.every_secret() {
        assert!(
            !world.issuer.is_refresh_token_live(&token)
                && !world.issuer.is_access_token_live(&token)
        );
    }
}

#[tokio::test]
async fn a_flight_that_fails_with_nobody_waiting_leaves_the_next_caller_a_clean_start() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.expire();
    world.issuer.fail_next(403, "a firewall's");
    let post = world.issuer.gate_before(Endpoint::Token);
    let request = world.ask(&world.session(id));
    post.reached().await;
    leave(request).await;
    post.open();
    settle().await;
    assert!(world.refresher.valid_token(&world.session(id)).await.is_ok());
}
