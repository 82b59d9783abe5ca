//! A provider that refuses, fails, or answers with something else.

use std::{
    error::Error,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use support::{LIFE, World, settle};
use tower::service_fn;
use tower_token_refresh::{
    ClientAuth, ProviderLimits, RefreshError, RefreshErrorKind, ServiceTokens, TokenEndpoint,
    TokenTarget, Transport, testing::Endpoint,
};

use crate::{SECOND, Service, endpoint};

async fn failed(tokens: &ServiceTokens) -> RefreshError {
    tokens.token().await.expect_err("there is no token")
}

#[tokio::test]
async fn an_error_reaches_all_who_waited_and_the_next_call_tries_again() {
    let service = Service::new();
    service.issuer.fail_next(500, "broken");
    let gate = service.issuer.gate_before(Endpoint::Token);
    let callers: Vec<_> = (0..20).map(|_| service.ask()).collect();
    gate.reached().await;
    settle().await;
    gate.open();
    for caller in callers {
        let error = caller.await.unwrap().expect_err("the provider failed");
        assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
        assert!(error.retry_after().is_some());
    }
    assert_eq!(service.requests(), 1);
    service.token().await;
    assert_eq!(service.requests(), 2);
}

#[tokio::test]
async fn while_the_provider_is_down_a_good_token_is_served_and_it_is_asked_in_pauses() {
    let service = Service::new();
    let first = service.token().await;
    service.clock.advance(LIFE * 3 / 4 + SECOND);
    service.issuer.set_down(true);
    for _ in 0..50 {
        assert_eq!(service.token().await, first);
        settle().await;
    }
    let asked = service.requests();
    assert!(asked <= 4, "{asked} requests, without a pause");
    // Within the leeway.
    service.clock.advance(LIFE / 4 - 2 * SECOND);
    assert_eq!(service.token().await, first);
    service.clock.advance(SECOND);
    assert_eq!(failed(&service.tokens).await.kind(), RefreshErrorKind::Unavailable);
    service.issuer.set_down(false);
    service.clock.advance(60 * SECOND);
    assert_ne!(service.token().await, first);
}

#[tokio::test]
async fn a_wrong_secret_costs_a_request_a_minute_and_no_login() {
    let service = Service::new();
    let tokens = ServiceTokens::builder(endpoint(&service.issuer, "wr0ng"))
        .clock(service.clock.clock())
        .build()
        .expect("the settings agree");
    for _ in 0..3600 {
        let error = failed(&tokens).await;
        assert_eq!(error.kind(), RefreshErrorKind::Misconfigured);
        service.clock.advance(SECOND);
    }
    let asked = service.requests();
    assert!((60..=70).contains(&asked), "{asked} requests in an hour");
}

#[tokio::test]
async fn what_may_pass_is_a_503_the_first_time() {
    let service = Service::new();
    service.issuer.fail_next_oauth(401, "invalid_client");
    service.issuer.fail_next_oauth(401, "invalid_client");
    assert_eq!(failed(&service.tokens).await.kind(), RefreshErrorKind::Unavailable);
    service.clock.advance(2 * SECOND);
    assert_eq!(failed(&service.tokens).await.kind(), RefreshErrorKind::Misconfigured);
    service.clock.advance(4 * SECOND);
    service.token().await;
}

#[tokio::test]
async fn a_provider_that_wants_it_later_is_asked_later() {
    let service = Service::new();
    let later = Response::builder().status(429).header(header::RETRY_AFTER, "100");
    let later = later.body("slow down".into()).unwrap();
    service.issuer.answer_next_at(Endpoint::Token, later);
    let error = failed(&service.tokens).await;
    assert_eq!(error.retry_after(), Some(100 * SECOND));
    service.clock.advance(60 * SECOND);
    let error = failed(&service.tokens).await;
    assert_eq!(
        (error.kind(), error.retry_after()),
        (RefreshErrorKind::Unavailable, Some(40 * SECOND))
    );
    assert_eq!(service.requests(), 1);
    service.clock.advance(40 * SECOND);
    service.token().await;
}

#[tokio::test]
async fn each_answer_that_is_no_token_is_a_typed_error_that_shows_no_secret() {
    let (bad, wrong) = (RefreshErrorKind::InvalidResponse, RefreshErrorKind::Misconfigured);
    for (status, body, kind) in [
        (200, "<html>Welcome</html>", bad),
        (200, "{}", bad),
        (200, r#"{"access_token":"","expires_in":60}"#, bad),
        (200, r#"{"access_token":"s3cret","expires_in":0}"#, bad),
        (200, r#"{"access_token":"s3cret","token_type":"DPoP"}"#, bad),
        (200, r#"{"access_token":"s3 cret\n","expires_in":60}"#, bad),
        (302, "", bad),
        (403, "<html>s3cret</html>", bad),
        (400, r#"{"error":"invalid_scope","error_description":"s3cret"}"#, wrong),
        (400, r#"{"error":"invalid_target"}"#, wrong),
        (400, r#"{"error":"invalid_grant"}"#, wrong),
        (400, r#"{"error":"s3cret"}"#, wrong),
    ] {
        let service = Service::new();
        service.issuer.fail_next(status, body);
        let error = failed(&service.tokens).await;
        assert_eq!(error.kind(), kind, "{status} {body}");
        let mut shown = format!("{error} {error:?}");
        let mut source = error.source();
        while let Some(error) = source {
            shown += &format!(" {error} {error:?}");
            source = error.source();
        }
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}

#[tokio::test]
async fn an_unknown_target_is_a_wrong_setting() {
    let service = Service::with(|issuer| issuer.apis(["orders"]), |tokens| tokens);
    let unknown = service.tokens.for_target(TokenTarget::new().audience("stock")).unwrap();
    let error = failed(&unknown).await;
    assert_eq!(error.kind(), RefreshErrorKind::Misconfigured);
    assert!(error.to_string().contains("invalid_target"), "{error}");
    let known = service.tokens.for_target(TokenTarget::new().audience("orders")).unwrap();
    known.token().await.expect("a token");
}

#[test]
fn what_cannot_work_is_found_when_it_is_built() {
    let service = Service::new();
    let builder = || ServiceTokens::builder(endpoint(&service.issuer, "secret"));
    for (built, named) in [
        (builder().target(TokenTarget::new().scope("")).build(), "the scope"),
        (builder().wait_timeout(Duration::ZERO).build(), "wait_timeout"),
        (builder().fallback_lifetime(Duration::ZERO).build(), "fallback_lifetime"),
        (ServiceTokens::builder(endpoint(&service.issuer, "")).build(), "the client secret"),
    ] {
        let error = built.expect_err(named).to_string();
        assert!(error.contains(named), "{error}");
    }
    let tokens = builder().build().unwrap();
    assert!(tokens.for_target(TokenTarget::new().resource("orders")).is_err());
}

#[tokio::test]
async fn wrong_targets_stop_no_good_one() {
    let service = Service::with(|issuer| issuer.apis(["orders"]), |tokens| tokens);
    for unknown in ["a", "b", "c", "d"] {
        let unknown = service.tokens.for_target(TokenTarget::new().audience(unknown)).unwrap();
        failed(&unknown).await;
    }
    let known = service.tokens.for_target(TokenTarget::new().audience("orders")).unwrap();
    known.token().await.expect("a token");
}

fn answer(status: u16, code: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(format!(r#"{{"error":"{code}"}}"#)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

fn scripted(
    world: &World,
    limits: ProviderLimits,
    answers: Vec<(u16, &'static str)>,
) -> ServiceTokens {
    let answers = Arc::new(Mutex::new(answers.into_iter()));
    let transport = Transport::new(service_fn(move |_: Request<Bytes>| {
        let (status, code) = answers.lock().unwrap().next().expect("an answer");
        let answer = answer(status, code);
        async move { Ok::<_, io::Error>(answer.map(Full::new)) }
    }));
    let endpoint = TokenEndpoint::new(world.issuer.token_url(), ClientAuth::basic("web", "secret"))
        .transport(transport)
        .limits(limits);
    ServiceTokens::builder(endpoint).clock(world.clock.clock()).build().unwrap()
}

/// "What may pass by itself is a 503 the first time."
#[tokio::test]
async fn a_429_before_the_first_refusal_says_nothing_of_it() {
    let limits = || ProviderLimits::default().attempts(1);
    for before in [0, 1] {
        let world = World::on_memory();
        let mut answers = vec![(429, "slow_down"); before];
        answers.push((401, "invalid_client"));
        let tokens = scripted(&world, limits(), answers);
        for _ in 0..before {
            tokens.token().await.unwrap_err();
            world.clock.advance(SECOND * 70);
        }
        let error = tokens.token().await.unwrap_err();
        assert_eq!(error.kind(), RefreshErrorKind::Unavailable, "after {before} × 429: {error}");
    }
}

/// "What was not sent at all … doubles nothing": it must not begin the row again either.
#[tokio::test]
async fn what_was_held_back_does_not_begin_the_row_of_refusals_again() {
    let limits = ProviderLimits::default().attempts(1).breaker_failures(1);
    let world = World::on_memory();
    let mut answers = vec![(401, "invalid_client"); 4];
    answers.extend([(503, "temporarily_unavailable"), (401, "invalid_client")]);
    let tokens = scripted(&world, limits, answers);
    let mut kinds = Vec::new();
    for _ in 0..4 {
        kinds.push(tokens.token().await.unwrap_err().kind());
        world.clock.advance(SECOND * 70);
    }
    let other = tokens.for_target(TokenTarget::new().audience("other")).unwrap();
    other.token().await.unwrap_err();
    let held_back = tokens.token().await.unwrap_err();
    assert_eq!(held_back.kind(), RefreshErrorKind::Unavailable, "{held_back}");
    world.clock.advance(SECOND * 130);
    let last = tokens.token().await.unwrap_err();
    assert_eq!(
        last.kind(),
        RefreshErrorKind::Misconfigured,
        "the fifth refusal in a row: {kinds:?}, {last}"
    );
}
