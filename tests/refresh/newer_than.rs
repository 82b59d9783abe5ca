//! "I hold generation g; give me one that is newer and fresh now": late callers, rejected tokens, answers made for others.


use std::time::Duration;

use support::{
    LIFE, World, settle, shown_generation,
    Op,
    variants::{leave, session_at},
};
use tower_token_refresh::testing::Endpoint;

const LATE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_late_caller_gets_the_set_of_the_flight_it_missed() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let late = world.request(id).await;
    world.expire();
    let token = world.refresher.valid_token(&world.session(id)).await.unwrap();
    world.clock.advance(LATE);
    let loads = world.sessions.calls(Op::Load);

    let got = world.refresher.valid_token(&late).await.unwrap();

    assert_eq!(got.secret(), token.secret());
    assert_eq!(world.issuer.refresh_requests(), 1);
    assert_eq!(shown_generation(&late).await, Some(2));
    assert_eq!(
        world.sessions.calls(Op::Load) - loads,
        1,
        "one read, to bring its own session up to date"
    );
}

#[tokio::test]
async fn a_caller_later_than_that_re_reads_the_store() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let late = world.request(id).await;
    world.expire();
    let token = world.refresher.valid_token(&world.session(id)).await.unwrap();
    world.clock.advance(LATE + Duration::from_millis(1));
    let loads = world.sessions.calls(Op::Load);

    let got = world.refresher.valid_token(&late).await.unwrap();

    assert_eq!(got.secret(), token.secret());
    assert_eq!(world.issuer.refresh_requests(), 1);
    assert_eq!(shown_generation(&late).await, Some(2));
    assert_eq!(world.sessions.calls(Op::Load) - loads, 2, "the flight re-read the store");
}

#[tokio::test]
async fn a_set_that_another_process_stored_is_found_by_the_re_read() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let stale = world.request(id).await;
    world.expire();
    let elsewhere = world.restarted();
    let theirs = elsewhere.valid_token(&session_at(&elsewhere, id)).await.unwrap();

    let ours = world.refresher.valid_token(&stale).await.unwrap();

    assert_eq!(ours.secret(), theirs.secret());
    assert_eq!(world.issuer.refresh_requests(), 1);
    assert_eq!(shown_generation(&stale).await, Some(2));
    world.assert_logged_in(id).await;
}

#[tokio::test]
async fn a_late_caller_whose_late_result_has_expired_starts_a_flight() {
    let short = Duration::from_secs(10);
    let world = World::configured(|issuer| issuer.access_token_lifetime(short), |builder| builder);
    let id = world.log_in("alice").await;
    let late = world.request(id).await;
    world.clock.advance(short);
    world.refresher.valid_token(&world.session(id)).await.unwrap();
    world.clock.advance(Duration::from_secs(20));

    let token = world.refresher.valid_token(&late).await.unwrap();

    assert!(world.issuer.is_access_token_live(token.secret()));
    assert_eq!(world.issuer.refresh_requests(), 2);
    assert_eq!(shown_generation(&late).await, Some(3));
    world.assert_logged_in(id).await;
}

#[tokio::test]
async fn a_flight_that_lasted_longer_than_its_tokens_live_serves_nobody_an_expired_one() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.expire();
    let gate = world.issuer.gate_after(Endpoint::Token);
    let request = world.ask(&world.session(id));
    gate.reached().await;
    world.expire();
    gate.open();

    let token = request.await.unwrap().unwrap();

    assert!(world.issuer.is_access_token_live(token.secret()));
    assert_eq!(world.issuer.refresh_requests(), 2);
    world.assert_logged_in(id).await;
}

#[tokio::test]
async fn a_caller_that_joins_a_flight_made_for_an_older_set_asks_again() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let old = world.request(id).await;
    world.expire();
    // A request that holds generation 1 starts a flight, which finds generation 2 in the store ...
    let elsewhere = world.restarted();
    let second = elsewhere.valid_token(&session_at(&elsewhere, id)).await.unwrap();
    let re_read = world.sessions.gate_after(Op::Load);
    let holds_first = world.ask(&old);
    re_read.reached().await;
    // ... and is joined by one that holds generation 3, which an API has rejected.
    elsewhere.newer_token(&session_at(&elsewhere, id), &second).await.unwrap();
    let session = world.session(id);
    let third = world.refresher.valid_token(&session).await.unwrap();
    let holds_third = tokio::spawn({
        let (refresher, session, third) = (world.refresher.clone(), session.clone(), third.clone());
        async move { refresher.newer_token(&session, &third).await }
    });
    settle().await;
    assert!(!holds_third.is_finished());
    re_read.open();

    assert!(holds_first.await.unwrap().is_ok());
    let fourth = holds_third.await.unwrap().unwrap();
    assert_ne!(fourth.secret(), third.secret());
    assert_eq!(shown_generation(&session).await, Some(4));
    assert_eq!(world.issuer.refresh_requests(), 3);
    world.assert_logged_in(id).await;
}

#[tokio::test]
async fn a_token_that_an_api_rejected_is_refreshed_before_it_expires() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let session = world.session(id);
    let rejected = world.refresher.valid_token(&session).await.unwrap();

    let newer = world.refresher.newer_token(&session, &rejected).await.unwrap();

    assert_ne!(newer.secret(), rejected.secret());
    assert_eq!(world.issuer.refresh_requests(), 1);
    assert_eq!(shown_generation(&session).await, Some(2));
    world.assert_logged_in(id).await;
}

#[tokio::test]
async fn many_requests_with_the_same_rejected_token_make_one_post() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let rejected = world.refresher.valid_token(&world.session(id)).await.unwrap();
    let gate = world.issuer.gate_before(Endpoint::Token);
    let requests: Vec<_> = (0..10)
        .map(|_| {
            let (refresher, session, rejected) =
                (world.refresher.clone(), world.session(id), rejected.clone());
            tokio::spawn(async move { refresher.newer_token(&session, &rejected).await })
        })
        .collect();
    gate.reached().await;
    gate.open();
    for request in requests {
        assert_ne!(request.await.unwrap().unwrap().secret(), rejected.secret());
    }
    // One more that was slow to hear of the rejection.
    let late = world.refresher.newer_token(&world.session(id), &rejected).await.unwrap();
    assert_ne!(late.secret(), rejected.secret());
    assert_eq!(world.issuer.refresh_requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_is_not_given_again_while_its_refresh_fails() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let session = world.session(id);
    let rejected = world.refresher.valid_token(&session).await.unwrap();
    world.issuer.set_down(true);
    assert!(world.refresher.newer_token(&session, &rejected).await.is_err());
    world.issuer.set_down(false);
    assert_ne!(
        world.refresher.newer_token(&session, &rejected).await.unwrap().secret(),
        rejected.secret()
    );
}

#[tokio::test]
async fn a_caller_that_gave_up_waiting_finds_the_result_of_its_flight() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.expire();
    let gate = world.issuer.gate_after(Endpoint::Token);
    let request = world.ask(&world.session(id));
    gate.reached().await;
    leave(request).await;
    gate.open();

    let token = world.refresher.valid_token(&world.session(id)).await.unwrap();

    assert!(world.issuer.is_access_token_live(token.secret()));
    assert_eq!(world.issuer.refresh_requests(), 1);
    assert_eq!(token.expires_at(), world.clock.clock().now() + LIFE);
}
