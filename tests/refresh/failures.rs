//! A refresh that fails is told to every waiter and kept for nobody; so is one that panics.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use http_body_util::Full;
use support::{Op, StoredTokens, TokenOp, World, on_every_store, settle, variants::leave};
use tokio::task::JoinHandle;
use tower_token_refresh::{
    AccessToken, Logout, RefreshError, RefreshErrorKind, Transport,
    testing::{Endpoint, StrictIssuer},
};

use crate::PAUSE;

type Request = JoinHandle<Result<AccessToken, RefreshError>>;

async fn kind_of(request: Request) -> RefreshErrorKind {
    request.await.expect("the caller itself does not panic").expect_err("no token").kind()
}

on_every_store! {
    async fn every_waiter_gets_the_error_and_the_next_caller_tries_afresh(world: World) {
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

        world.clock.advance(PAUSE);
        let token = world.refresher.valid_token(&world.session(id)).await.expect("refreshed");

        assert!(world.issuer.is_access_token_live(token.secret()));
        assert_eq!(world.issuer.refresh_requests(), 2);
    }

    async fn a_failed_refresh_of_one_user_is_no_error_for_another(world: World) {
        let (alice, bob) = (world.log_in("alice").await, world.log_in("bob").await);
        world.expire();
        world.issuer.fail_next(500, "out of order");
        assert!(world.refresher.valid_token(&world.session(alice)).await.is_err());
        assert!(world.refresher.valid_token(&world.session(bob)).await.is_ok());
    }

    async fn a_panic_while_a_flight_reads_is_an_error_and_the_next_call_flies_again(world: World) {
        let id = world.log_in("alice").await;
        world.expire();
        world.tokens.panic_next(TokenOp::Load);
        let read = world.tokens.gate_before(TokenOp::Load);
        let waiters = [(); 2].map(|()| world.ask(&world.session(id)));
        read.reached().await;
        settle().await;
        read.open();
        for waiter in waiters {
            assert_eq!(kind_of(waiter).await, RefreshErrorKind::Internal);
        }
        assert_eq!(world.issuer.refresh_requests(), 0);

        assert!(world.refresher.valid_token(&world.session(id)).await.is_ok());
        assert_eq!(world.issuer.refresh_requests(), 1);
        world.assert_logged_in(id).await;
    }

    // To the flight it is a store that has refused: the waiters are served what the provider gave.
    async fn a_panic_while_tokens_are_stored_costs_nobody_anything(world: World) {
        let id = world.log_in("alice").await;
        world.expire();
        world.tokens.panic_next(TokenOp::Put);
        let put = world.tokens.gate_before(TokenOp::Put);
        let waiters: Vec<_> = (0..10).map(|_| world.ask(&world.session(id))).collect();
        put.reached().await;
        settle().await;
        put.open();
        let stored = world.tokens.gate_after(TokenOp::Put);
        for waiter in waiters {
            let token = waiter.await.unwrap().expect("served");
            assert!(world.issuer.is_access_token_live(token.secret()));
        }

        stored.reached().await;

        assert_eq!(world.issuer.refresh_requests(), 1);
        assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
        world.assert_logged_in(id).await;
    }

    async fn after_a_refusal_the_login_is_over_for_good(world: World) {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        world.expire();
        world.issuer.end_session("alice");
        let asked = [world.session(id), slow, world.session(id)];
        for session in asked {
            let error = world.refresher.valid_token(&session).await.expect_err("over");
            assert_eq!(error.kind(), RefreshErrorKind::SessionExpired);
        }
        let why = "expired".into();
        let ended = StoredTokens::Ended { why, revoke: false, with_session: false };
        assert_eq!(world.stored_tokens(id).await, ended);

        // Another process, or this one after a restart.
        let world = World { refresher: world.restarted(), ..world };
        let error = world.refresher.valid_token(&world.session(id)).await.expect_err("over");

        assert_eq!(error.kind(), RefreshErrorKind::SessionExpired);
        assert_eq!(world.issuer.refresh_requests(), 1, "the dead token is not presented again");
    }

    async fn waiters_are_told_of_a_log_out_at_once_and_what_the_flight_brings_is_revoked(
        world: World
    ) {
        let id = world.log_in("alice").await;
        world.expire();
        let answer = world.issuer.gate_after(Endpoint::Token);
        let waiter = world.ask(&world.session(id));
        answer.reached().await;
        let out = world.refresher.log_out(&world.session(id), Logout::EndSession).await;
        out.expect("logged out");
        assert_eq!(
            kind_of(waiter).await,
            RefreshErrorKind::LoggedOut,
            "the provider has not answered yet"
        );
        let revoked = world.issuer.gate_after(Endpoint::Revocation);
        answer.open();
        revoked.reached().await;
        world.assert_dead_at_the_provider();
    }

    async fn a_flight_that_fails_with_nobody_waiting_leaves_the_next_caller_a_clean_start(
        world: World
    ) {
        let id = world.log_in("alice").await;
        world.expire();
        world.issuer.fail_next(403, "a firewall's");
        let post = world.issuer.gate_before(Endpoint::Token);
        let request = world.ask(&world.session(id));
        post.reached().await;
        leave(request).await;
        post.open();
        settle().await;
        world.clock.advance(PAUSE);
        assert!(world.refresher.valid_token(&world.session(id)).await.is_ok());
    }

    async fn a_panic_while_logging_in_is_an_error_and_nobody_is_logged_in(world: World) {
        let panics: [fn(&World); 3] = [
            |world| world.tokens.panic_next(TokenOp::Create),
            |world| world.sessions.panic_next(Op::Delete),
            |world| world.sessions.panic_next(Op::Create),
        ];
        for (step, panics) in panics.into_iter().enumerate() {
            let session = world.session_with(None, None);
            panics(&world);
            let error = world.refresher.log_in(&session, world.token_set("alice")).await;
            assert_eq!(error.unwrap_err().kind(), RefreshErrorKind::Internal, "{step}");
            // The handler answers with a redirect, and tower-sessions saves what was modified.
            session.save().await.expect("saved");
            let id = session.id().expect("it has an id");
            assert_eq!(world.stored_tokens(id).await, StoredTokens::NoPointer, "{step}");
        }
        assert_eq!(world.held_by("alice").await, []);
    }
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
    let read = world.tokens.gate_after(TokenOp::Load);
    let waiters = [(); 2].map(|()| world.ask(&world.session(id)));
    read.reached().await;
    settle().await;
    read.open();
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
