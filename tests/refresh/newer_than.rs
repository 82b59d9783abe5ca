//! "I hold generation g; give me one that is newer and fresh now": late callers, rejected tokens,
//! and answers that were made for somebody else.

use std::time::Duration;

use serde_json::json;
use support::{
    LIFE, TokenOp, World, on_every_store, races::Station::AfterRead, settle, variants::session_at,
};
use tokio::{select, task::JoinHandle};
use tower_sessions::Session;
use tower_token_refresh::{
    AccessToken, RefreshError, RefreshErrorKind, testing::Endpoint, tower_sessions,
};

const MOMENT: Duration = Duration::from_millis(1);

/// Asks for a newer token in a task of its own.
fn ask_newer(
    world: &World,
    session: &Session,
    rejected: &AccessToken,
) -> JoinHandle<Result<AccessToken, RefreshError>> {
    let (refresher, session, rejected) =
        (world.refresher.clone(), session.clone(), rejected.clone());
    tokio::spawn(async move { refresher.newer_token(&session, &rejected).await })
}

on_every_store! {
    async fn a_late_caller_gets_what_the_flight_brought_and_asks_no_store(world: World) {
        let id = world.log_in("alice").await;
        let late = world.request(id).await;
        let token = world.refresh(id).await;
        world.clock.advance(Duration::from_secs(20));
        let loads = world.tokens.calls(TokenOp::Load);

        let again = world.refresher.valid_token(&late).await.expect("a token");

        assert_eq!(again.secret(), token.secret());
        assert_eq!(world.tokens.calls(TokenOp::Load), loads);
        assert_eq!(world.issuer.refresh_requests(), 1);
    }

    // Tokens that live for 10 s, and a caller that comes 20 s after the flight.
    async fn a_late_caller_never_gets_a_token_that_has_expired_meanwhile(world: World) {
        let id = world.log_in("alice").await;
        let late = world.request(id).await;
        world.issuer.edit_next(|answer| answer["expires_in"] = json!(10));
        world.refresh(id).await;
        world.clock.advance(Duration::from_secs(20));

        let token = world.refresher.valid_token(&late).await.expect("a newer token");

        assert!(world.issuer.is_access_token_live(token.secret()));
        assert_eq!(world.stored_tokens(id).await.generation(), Some(3));
        world.assert_logged_in(id).await;
    }

    async fn tokens_that_another_process_stored_are_found_and_nothing_is_presented(world: World) {
        let id = world.log_in("alice").await;
        let stale = world.request(id).await;
        world.expire();
        let elsewhere = world.restarted();
        let theirs = elsewhere.valid_token(&session_at(&elsewhere, id)).await.expect("refreshed");

        let ours = world.refresher.valid_token(&stale).await.expect("theirs");

        assert_eq!(ours.secret(), theirs.secret());
        assert_eq!(world.issuer.refresh_requests(), 1);
        world.assert_logged_in(id).await;
    }

    async fn a_flight_that_lasts_longer_than_its_tokens_live_serves_nobody_an_expired_one(
        world: World
    ) {
        let id = world.log_in("alice").await;
        world.expire();
        let gate = world.issuer.gate_after(Endpoint::Token);
        let request = world.ask(&world.session(id));
        gate.reached().await;
        world.expire();
        gate.open();

        let token = request.await.unwrap().expect("of a second flight");

        assert!(world.issuer.is_access_token_live(token.secret()));
        assert_eq!(world.issuer.refresh_requests(), 2);
        world.assert_logged_in(id).await;
    }

    async fn a_caller_whose_answers_are_too_old_each_time_is_told_to_come_back(world: World) {
        let id = world.log_in("alice").await;
        world.expire();
        let gates = [(); 3].map(|()| world.issuer.gate_after(Endpoint::Token));
        let mut request = world.ask(&world.session(id));
        for gate in gates {
            select! {
                () = gate.reached() => {}
                served = &mut request => panic!("it took what was too old for it: {served:?}"),
            }
            world.expire();
            gate.open();
        }

        let error = request.await.unwrap().expect_err("three in a row were too old");

        assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
        assert!(error.retry_after().is_some());
        assert_eq!(world.stored_tokens(id).await.generation(), Some(4), "all of them were stored");
        assert!(world.refresher.valid_token(&world.session(id)).await.is_ok());
        world.assert_logged_in(id).await;
    }

    // A flight for one that holds generation 1 has found generation 2 in the store. Meanwhile the
    // record was read again, somebody was served generation 2, and an API has rejected it.
    async fn a_caller_that_holds_what_a_flight_finds_gets_a_newer_one(world: World) {
        let id = world.log_in("alice").await;
        let (first, second) = (world.request(id).await, world.request(id).await);
        world.expire();
        let elsewhere = world.restarted();
        elsewhere.valid_token(&session_at(&elsewhere, id)).await.expect("generation 2");
        let flight = world.flight_of(AfterRead, first).await;
        world.clock.advance(MOMENT);
        let rejected = world.refresher.valid_token(&second).await.expect("generation 2");
        assert!(!flight.waiter.is_finished());
        let asking = ask_newer(&world, &second, &rejected);
        settle().await;
        assert!(!asking.is_finished(), "it has joined the flight");

        let found = flight.land().await.expect("good enough for the first");
        let newer = asking.await.unwrap().expect("a newer token");

        assert_eq!(found.secret(), rejected.secret());
        assert_ne!(newer.secret(), rejected.secret());
        assert_eq!(world.stored_tokens(id).await.generation(), Some(3));
        assert_eq!(world.issuer.refresh_requests(), 2);
        world.assert_logged_in(id).await;
    }

    async fn a_token_that_an_api_rejected_is_refreshed_before_it_expires(world: World) {
        let id = world.log_in("alice").await;
        let session = world.session(id);
        let rejected = world.refresher.valid_token(&session).await.expect("fresh");

        let newer = world.refresher.newer_token(&session, &rejected).await.expect("a newer one");

        assert_ne!(newer.secret(), rejected.secret());
        assert_eq!(world.issuer.refresh_requests(), 1);
        assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
        world.assert_logged_in(id).await;
    }

    async fn many_requests_with_the_same_rejected_token_make_one_post(world: World) {
        let id = world.log_in("alice").await;
        let rejected = world.refresher.valid_token(&world.session(id)).await.expect("fresh");
        let gate = world.issuer.gate_before(Endpoint::Token);
        let requests: Vec<_> =
            (0..10).map(|_| ask_newer(&world, &world.session(id), &rejected)).collect();
        gate.reached().await;
        settle().await;
        gate.open();
        for request in requests {
            let newer = request.await.unwrap().expect("a newer one");
            assert_ne!(newer.secret(), rejected.secret());
        }

        let slow_to_hear = ask_newer(&world, &world.session(id), &rejected).await.unwrap();

        assert_ne!(slow_to_hear.expect("a newer one").secret(), rejected.secret());
        assert_eq!(world.issuer.refresh_requests(), 1);
    }

    async fn a_caller_that_gave_up_waiting_finds_the_result_of_its_flight(world: World) {
        let id = world.log_in("alice").await;
        world.expire();
        let gate = world.issuer.gate_after(Endpoint::Token);
        let request = world.ask(&world.session(id));
        gate.reached().await;
        request.abort();
        gate.open();

        let token = world.refresher.valid_token(&world.session(id)).await.expect("the flight's");

        assert!(world.issuer.is_access_token_live(token.secret()));
        assert_eq!(world.issuer.refresh_requests(), 1);
        assert_eq!(token.expires_at(), world.clock.clock().now() + LIFE);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_is_not_given_again_while_its_refresh_fails() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let session = world.session(id);
    let rejected = world.refresher.valid_token(&session).await.expect("fresh");
    world.issuer.set_down(true);
    assert!(world.refresher.newer_token(&session, &rejected).await.is_err());
    world.issuer.set_down(false);
    let newer = world.refresher.newer_token(&session, &rejected).await.expect("a newer one");
    assert_ne!(newer.secret(), rejected.secret());
}

#[tokio::test]
async fn a_rejected_token_of_the_sessions_earlier_login_gives_the_token_of_the_new_one() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let session = world.session(id);
    let rejected = world.refresher.valid_token(&session).await.expect("fresh");
    world.log_in_on(&session, "bob").await;

    let newer = world.refresher.newer_token(&session, &rejected).await.expect("bob's");

    assert_eq!(newer.subject(), Some(world.issuer.subject_of("bob").as_str()));
    assert_eq!(world.issuer.refresh_requests(), 0);
}
