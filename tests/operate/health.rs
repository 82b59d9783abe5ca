//! Whether what a refresher needs is there.

use std::time::Duration;

use axum::{Router, body::to_bytes};
use futures_util::{FutureExt, future::join_all};
use http::{Request, StatusCode};
use serde_json::Value;
use support::{Op, TokenOp, World};
use tower::ServiceExt;
use tower_token_refresh::{
    operate::{BreakerState, Probe},
    testing::FakeLock,
};

fn is_ok(probe: &Probe) -> bool {
    matches!(probe, Probe::Ok { .. })
}

async fn readiness(world: &World, app: &Router) -> (StatusCode, Value) {
    // An answer serves for a second.
    world.clock.advance(Duration::from_secs(2));
    let request = Request::get("/readyz").body(axum::body::Body::empty()).unwrap();
    let answer = app.clone().oneshot(request).await.unwrap();
    let status = answer.status();
    let body = to_bytes(answer.into_body(), 10_000).await.unwrap();
    (status, serde_json::from_slice(&body).expect("JSON"))
}

async fn asked(app: &Router) -> StatusCode {
    let request = Request::get("/readyz").body(axum::body::Body::empty()).unwrap();
    app.clone().oneshot(request).await.unwrap().status()
}

#[tokio::test]
async fn stores_and_lock_are_asked_and_the_provider_is_not() {
    let lock = FakeLock::new();
    let world = World::swapping_with(|builder| builder.lock(lock.clone()));
    let requests = world.issuer.token_requests();
    let health = world.refresher.health().await;
    assert!(is_ok(&health.token_store) && is_ok(&health.session_store));
    assert!(health.lock.as_ref().is_some_and(is_ok));
    assert!(health.is_ready());
    assert_eq!((health.provider, health.unsaved), (BreakerState::Closed, 0));
    assert_eq!(world.issuer.token_requests(), requests);
    assert_eq!(world.tokens.calls(TokenOp::Load), 1);
    assert_eq!(World::on_memory().refresher.health().await.lock, None);
}

#[tokio::test(start_paused = true)]
async fn a_session_store_that_is_down_is_not_ready_and_a_lock_that_is_down_is() {
    let lock = FakeLock::new();
    let world = World::swapping_with(|builder| builder.lock(lock.clone()));
    let app = Router::new().route("/readyz", world.refresher.readiness());
    assert_eq!(readiness(&world, &app).await.0, StatusCode::OK);

    world.sessions.refuse(Op::Load);
    let (status, body) = readiness(&world, &app).await;
    assert_eq!(
        (status, &body["session_store"]["ok"]),
        (StatusCode::SERVICE_UNAVAILABLE, &false.into())
    );
    assert_eq!(body["token_store"]["ok"], true);
    world.sessions.accept(Op::Load);

    lock.refuse(true);
    let (status, body) = readiness(&world, &app).await;
    assert_eq!((status, &body["lock"]["ok"]), (StatusCode::OK, &false.into()));
}

/// All processes would be taken out at once, although they serve whoever has a good token.
#[tokio::test(start_paused = true)]
async fn a_token_store_that_is_down_takes_nobody_out_and_is_named() {
    let world = World::on_swapping();
    let app = Router::new().route("/readyz", world.refresher.readiness());
    let id = world.log_in("alice").await;
    world.tokens.refuse(TokenOp::Load);
    let (status, body) = readiness(&world, &app).await;
    assert_eq!((status, &body["token_store"]["ok"]), (StatusCode::OK, &false.into()));
    assert!(world.refresher.valid_token(&world.session(id)).await.is_ok());
}

/// One store that holds both is asked for a session as well.
#[tokio::test]
async fn where_tokens_lie_in_the_session_store_its_failure_is_not_ready() {
    let world = World::on_memory();
    let app = Router::new().route("/readyz", world.refresher.readiness());
    world.sessions.refuse(Op::Load);
    let (status, body) = readiness(&world, &app).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        (&body["token_store"]["ok"], &body["session_store"]["ok"]),
        (&false.into(), &false.into())
    );
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_given_up_after_two_seconds() {
    let world = World::on_swapping();
    let _gate = world.tokens.gate_before(TokenOp::Load);
    let began = support::tokio_now();
    let health = world.refresher.health().await;
    let Probe::Failed { error } = &health.token_store else { panic!("{health:?}") };
    assert_eq!(error, "no answer in 2 s");
    assert_eq!(began.elapsed(), Duration::from_secs(2));
    assert!(is_ok(&health.session_store));
}

/// All processes would be taken out at once, and logged-in users with them.
#[tokio::test(start_paused = true)]
async fn a_provider_that_is_down_takes_nobody_out() {
    let world = World::on_swapping();
    let app = Router::new().route("/readyz", world.refresher.readiness());
    let id = world.log_in("alice").await;
    world.expire();
    world.issuer.set_down(true);
    for _ in 0..6 {
        assert!(world.refresher.valid_token(&world.session(id)).await.is_err());
        world.clock.advance(Duration::from_secs(2));
    }
    let (status, body) = readiness(&world, &app).await;
    assert_eq!((status, &body["provider"]), (StatusCode::OK, &"open".into()));
}

#[tokio::test]
async fn shutting_down_is_not_ready() {
    let world = World::on_swapping();
    let app = Router::new().route("/readyz", world.refresher.readiness());
    world.refresher.shutdown(Duration::from_secs(1)).await.expect("nothing is left");
    let (status, body) = readiness(&world, &app).await;
    assert_eq!((status, &body["shutting_down"]), (StatusCode::SERVICE_UNAVAILABLE, &true.into()));
}

/// Whoever sends requests here must not go on for as long as an answer is kept.
#[tokio::test]
async fn the_end_is_no_secret_for_as_long_as_an_answer_is_kept() {
    let world = World::on_swapping();
    let app = Router::new().route("/readyz", world.refresher.readiness());
    assert_eq!(asked(&app).await, StatusCode::OK);
    world.refresher.shutdown(Duration::from_secs(1)).await.expect("nothing is left");
    assert_eq!(asked(&app).await, StatusCode::SERVICE_UNAVAILABLE);
}

/// It is named, and however often somebody asks, it is left alone for a second.
#[tokio::test]
async fn a_session_store_that_panics_is_one_that_fails() {
    let world = World::on_swapping();
    let app = Router::new().route("/readyz", world.refresher.readiness());
    for _ in 0..20 {
        world.sessions.panic_next(Op::Load);
    }
    let (status, body) = readiness(&world, &app).await;
    assert_eq!(
        (status, &body["session_store"]["ok"], &body["token_store"]["ok"]),
        (StatusCode::SERVICE_UNAVAILABLE, &false.into(), &true.into())
    );
    for _ in 0..10 {
        assert_eq!(asked(&app).await, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(world.sessions.calls(Op::Load), 1);
}

#[tokio::test]
async fn however_often_it_is_asked_the_stores_are_asked_once_a_second() {
    let world = World::on_swapping();
    let app = Router::new()
        .route("/readyz", world.refresher.readiness())
        .route("/healthz", world.refresher.liveness());
    readiness(&world, &app).await;
    let calls = world.tokens.calls(TokenOp::Load);
    for path in ["/readyz", "/healthz"].repeat(20) {
        let request = Request::get(path).body(axum::body::Body::empty()).unwrap();
        assert_eq!(app.clone().oneshot(request).await.unwrap().status(), StatusCode::OK);
    }
    assert_eq!(world.tokens.calls(TokenOp::Load), calls);
    readiness(&world, &app).await;
    assert_eq!(world.tokens.calls(TokenOp::Load), calls + 1);
}

#[tokio::test]
async fn whoever_asks_while_a_slow_store_is_asked_shares_its_answer() {
    let world = World::on_swapping();
    let app = Router::new().route("/readyz", world.refresher.readiness());
    let gate = world.tokens.gate_before(TokenOp::Load);
    let slow = async {
        gate.reached().await;
        // It has taken longer than an answer is kept.
        world.clock.advance(Duration::from_secs(2));
        gate.open();
    };
    let (answers, ()) = tokio::join!(join_all((0..20).map(|_| asked(&app))), slow);
    assert_eq!(answers, [StatusCode::OK; 20]);
    assert_eq!(world.tokens.calls(TokenOp::Load), 1);
    assert_eq!(asked(&app).await, StatusCode::OK);
    assert_eq!(world.tokens.calls(TokenOp::Load), 1, "it counts from its end");
}

#[tokio::test]
async fn whoever_asks_and_goes_away_has_the_stores_asked_no_more_often() {
    let world = World::on_swapping();
    let app = Router::new().route("/readyz", world.refresher.readiness());
    let gate = world.tokens.gate_before(TokenOp::Load);
    assert_eq!(asked(&app).now_or_never(), None);
    gate.reached().await;
    for _ in 0..20 {
        assert_eq!(asked(&app).now_or_never(), None);
    }
    gate.open();
    assert_eq!(asked(&app).await, StatusCode::OK);
    assert_eq!(world.tokens.calls(TokenOp::Load), 1);
}

/// Whoever can ask need not learn where the store is.
#[tokio::test]
async fn the_route_does_not_say_why() {
    let world = World::on_swapping();
    let app = Router::new().route("/readyz", world.refresher.readiness());
    world.tokens.refuse(TokenOp::Load);
    let (_, body) = readiness(&world, &app).await;
    assert_eq!(body["token_store"], serde_json::json!({ "ok": false }));
    assert!(matches!(world.refresher.health().await.token_store, Probe::Failed { .. }));
}
