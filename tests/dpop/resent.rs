//! Token requests that are sent again with the provider's nonce.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use support::{TokenOp, World};
use tower::service_fn;
use tower_token_refresh::{ProviderLimits, RefreshErrorKind, Transport, testing::Endpoint};

use super::{
    claims, log_in,
    once::Once,
    refusals::{error, token_endpoint},
    world,
};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn each_refresh_repeats_the_nonce_of_its_own_answer() {
    let world = world(|issuer| issuer);
    let once = Once::default();
    let issuer = world.issuer.clone();
    let transport = Transport::new(service_fn(move |request: Request<Bytes>| {
        let claims = claims(request.headers());
        let answer = if once.takes(claims["nonce"].as_str()) {
            issuer.handle(request)
        } else {
            error(400, "use_dpop_nonce", Some(&once.fresh()))
        };
        async move {
            tokio::task::yield_now().await;
            Ok::<_, io::Error>(answer.map(Full::new))
        }
    }));
    let endpoint = token_endpoint(&world, transport);
    let world = world.asking(endpoint);
    let mut logins = Vec::new();
    for _ in 0..20 {
        logins.push(log_in(&world).await);
    }
    world.expire();
    let answers = join_all(logins.iter().map(|tokens| tokens.token())).await;
    let kinds: Vec<_> =
        answers.iter().filter_map(|it| it.as_ref().err()).map(|e| e.kind()).collect();
    // And whoever comes next, at a provider that is well?
    let late = log_in(&world).await;
    world.expire();
    let late = late.token().await.map(drop).map_err(|error| error.kind());
    assert!(
        kinds.is_empty() && late.is_ok(),
        "of 20 logins {} fail: {kinds:?}; the next one: {late:?}",
        kinds.len()
    );
}

#[tokio::test]
async fn a_store_that_refuses_the_second_mark_loses_nothing() {
    let world = World::on_swapping();
    let clock = world.clock.clone();
    let issuer = tower_token_refresh::testing::StrictIssuer::builder()
        .clock(clock.clock())
        .access_token_lifetime(support::LIFE)
        .public_client("web")
        .dpop_nonces()
        .build();
    let endpoint = super::endpoint(&issuer);
    let world = World { issuer, ..world }.asking(endpoint);
    let tokens = log_in(&world).await;
    world.expire();
    let gate = world.issuer.gate_after(Endpoint::Token);
    let asking = tokio::spawn({
        let tokens = tokens.clone();
        async move { tokens.token().await.map(drop).map_err(|error| error.kind()) }
    });
    gate.reached().await;
    world.tokens.refuse(TokenOp::Swap);
    gate.open();
    let first = asking.await.unwrap();
    assert_eq!(first, Err(RefreshErrorKind::Unavailable));
    assert_eq!(world.issuer.token_requests(), 1);
    world.tokens.accept(TokenOp::Swap);
    world.clock.advance(SECOND * 120);
    tokens.token().await.expect("refreshed");
    assert_eq!(world.issuer.refreshes(), 1);
}

#[tokio::test]
async fn a_dropped_caller_changes_nothing() {
    let world = world(|issuer| issuer.dpop_nonces());
    let tokens = log_in(&world).await;
    world.expire();
    let gate = world.issuer.gate_after(Endpoint::Token);
    let asking = tokio::spawn({
        let tokens = tokens.clone();
        async move { tokens.token().await.map(drop) }
    });
    gate.reached().await;
    asking.abort();
    gate.open();
    tokens.token().await.expect("refreshed");
    assert_eq!((world.issuer.refreshes(), world.issuer.token_requests()), (1, 2));
}

#[tokio::test]
async fn odd_answers_that_want_a_nonce_are_understood() {
    // status, body, nonce, requests
    let cases: &[(u16, &str, bool, usize)] = &[
        (401, r#"{"error":"use_dpop_nonce"}"#, true, 2),
        (200, r#"{"error":"use_dpop_nonce"}"#, true, 2),
        (400, "error=use_dpop_nonce&error_description=x", true, 2),
        (401, r#"{"error":"use_dpop_nonce"}"#, false, 1),
        (200, r#"{"error":"use_dpop_nonce"}"#, false, 1),
    ];
    for (status, body, has_nonce, sent) in cases.iter().copied() {
        let world = world(|issuer| issuer);
        let requests = Arc::new(AtomicUsize::new(0));
        let (counted, issuer) = (requests.clone(), world.issuer.clone());
        let transport = Transport::new(service_fn(move |request: Request<Bytes>| {
            let answer = if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                let mut answer = Response::new(Bytes::from_static(body.as_bytes()));
                *answer.status_mut() = StatusCode::from_u16(status).unwrap();
                let headers = answer.headers_mut();
                headers.insert("retry-after", HeaderValue::from_static("30"));
                if body.starts_with("error=") {
                    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
                    headers.insert(header::CONTENT_TYPE, form);
                }
                if has_nonce {
                    headers.insert("dpop-nonce", HeaderValue::from_static("a \"quoted\\\" one"));
                }
                answer
            } else {
                issuer.handle(request)
            };
            async move { Ok::<_, io::Error>(answer.map(Full::new)) }
        }));
        let endpoint = token_endpoint(&world, transport);
        let world = world.asking(endpoint);
        let tokens = log_in(&world).await;
        world.expire();
        let answer = tokens.token().await.map(drop).map_err(|error| error.kind());
        assert_eq!(requests.load(Ordering::SeqCst), sent, "{status} {body}");
        assert_eq!(answer.is_ok(), has_nonce, "{status} {body} {answer:?}");
        world.clock.advance(SECOND * 70);
        tokens.token().await.expect("no login is lost");
    }
}

#[tokio::test]
async fn the_probe_of_a_half_open_breaker_may_be_sent_for_its_nonce_again() {
    let world = world(|issuer| issuer.dpop_nonces());
    let endpoint = super::endpoint(&world.issuer)
        .limits(ProviderLimits::default().attempts(1).breaker_failures(1));
    let world = world.asking(endpoint);
    let (one, other) = (log_in(&world).await, log_in(&world).await);
    world.expire();
    world.issuer.fail_next(503, "");
    assert!(one.token().await.is_err());
    assert!(other.token().await.is_err(), "the breaker is open");
    assert_eq!(world.issuer.token_requests(), 1);
    world.clock.advance(SECOND * 120);
    one.token().await.expect("the probe");
    other.token().await.expect("closed");
}

/// `ProviderLimits::attempts`: "How often one refresh may be sent, including the first time."
#[tokio::test(start_paused = true)]
async fn a_nonce_costs_one_request_more_than_the_attempts_in_all() {
    let world = world(|issuer| issuer);
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = requests.clone();
    let transport = Transport::new(service_fn(move |_: Request<Bytes>| {
        let n = counted.fetch_add(1, Ordering::SeqCst);
        let answer = match n % 2 {
            0 => error(400, "use_dpop_nonce", Some(&format!("n-{n}"))),
            _ => error(503, "temporarily_unavailable", None),
        };
        async move { Ok::<_, io::Error>(answer.map(Full::new)) }
    }));
    let limits = ProviderLimits::default().attempts(3).breaker_failures(100);
    let endpoint = token_endpoint(&world, transport).limits(limits);
    let world = world.asking(endpoint);
    let tokens = log_in(&world).await;
    world.expire();
    assert!(tokens.token().await.is_err());
    let sent = requests.load(Ordering::SeqCst);
    assert!(sent <= 4, "attempts(3): {sent} requests");
}

/// In doubt, then a replay that wants a nonce.
#[tokio::test]
async fn a_replay_that_wants_a_nonce_loses_nothing() {
    let world = world(|issuer| issuer);
    let requests = Arc::new(AtomicUsize::new(0));
    let (counted, issuer) = (requests.clone(), world.issuer.clone());
    let transport = Transport::new(service_fn(move |request: Request<Bytes>| {
        let n = counted.fetch_add(1, Ordering::SeqCst);
        let answer = match n {
            0 => Err(io::Error::other("broke")),
            1 | 2 => Ok(error(400, "use_dpop_nonce", Some(&format!("n-{n}")))),
            _ => Ok(issuer.handle(request)),
        };
        async move { answer.map(|answer| answer.map(Full::new)) }
    }));
    let endpoint = token_endpoint(&world, transport);
    let world = world.asking(endpoint);
    let tokens = log_in(&world).await;
    world.expire();
    assert_eq!(tokens.token().await.unwrap_err().kind(), RefreshErrorKind::Unavailable);
    world.clock.advance(SECOND * 3);
    // What may pass is a 503 the first time.
    assert_eq!(tokens.token().await.unwrap_err().kind(), RefreshErrorKind::Unavailable);
    assert_eq!(requests.load(Ordering::SeqCst), 3);
    world.clock.advance(SECOND * 70);
    tokens.token().await.expect("replayed, and the login lives");
    assert_eq!(world.issuer.refreshes(), 1);
}
