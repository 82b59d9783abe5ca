//! A provider that wants its own nonce in each proof: "answered, not consumed, send again" (RFC 9449,
//! section 8).

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderValue, Request};
use http_body_util::Full;
use serde_json::Value;
use support::TokenOp;
use tower::service_fn;
use tower_token_refresh::{RefreshErrorKind, Transport, testing::Endpoint};

use super::{
    claims, log_in,
    refusals::{error, token_endpoint},
    world,
};

#[tokio::test]
async fn the_first_refresh_is_sent_twice_and_the_next_one_knows_the_nonce() {
    let world = world(|issuer| issuer.dpop_nonces());
    let tokens = log_in(&world).await;
    world.expire();
    let answers = join_all((0..20).map(|_| tokens.token())).await;
    assert!(answers.iter().all(Result::is_ok), "{:?}", answers[0]);
    assert_eq!((world.issuer.token_requests(), world.issuer.refreshes()), (2, 1));
    assert_eq!(world.tokens.calls(TokenOp::Swap), 2, "each attempt has a mark of its own");
    world.expire();
    tokens.token().await.expect("refreshed");
    assert_eq!((world.issuer.token_requests(), world.issuer.refreshes()), (3, 2));

    world.issuer.new_dpop_nonce();
    world.expire();
    tokens.token().await.expect("refreshed");
    assert_eq!((world.issuer.token_requests(), world.issuer.refreshes()), (5, 3));
}

#[tokio::test]
async fn a_provider_that_is_never_content_is_asked_twice_and_ends_no_login() {
    for (nonce, sent) in [(true, 2), (false, 1)] {
        let world = world(|issuer| issuer);
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = requests.clone();
        let transport = Transport::new(service_fn(move |_: Request<Bytes>| {
            let fresh = format!("n-{}", counted.fetch_add(1, Ordering::SeqCst));
            let answer = error(400, "use_dpop_nonce", nonce.then_some(&*fresh));
            async move { Ok::<_, io::Error>(answer.map(Full::new)) }
        }));
        let endpoint = token_endpoint(&world, transport);
        let world = world.asking(endpoint);
        let tokens = log_in(&world).await;
        world.expire();
        // The first time it may pass: the nonces of many requests may have crossed.
        for (kind, requests_sent) in
            [(RefreshErrorKind::Unavailable, sent), (RefreshErrorKind::Misconfigured, sent * 2)]
        {
            let error = tokens.token().await.expect_err("no nonce is good");
            assert_eq!(error.kind(), kind, "{error}");
            assert_eq!(requests.load(Ordering::SeqCst), requests_sent);
            // It is kept for a while, as any refusal; the login lives on.
            let error = tokens.token().await.expect_err("the same");
            assert_eq!((error.kind(), requests.load(Ordering::SeqCst)), (kind, requests_sent));
            world.clock.advance(Duration::from_secs(10));
        }
    }
}

/// The second attempt is a request as any other: what becomes of it is in doubt, if anything is.
#[tokio::test]
async fn an_answer_that_is_lost_after_the_nonce_leaves_the_login_in_doubt() {
    let world = world(|issuer| issuer.dpop_nonces());
    let tokens = log_in(&world).await;
    world.expire();
    let gate = world.issuer.gate_after(Endpoint::Token);
    let asking = tokio::spawn({
        let tokens = tokens.clone();
        async move { tokens.token().await.map(drop).map_err(|error| error.kind()) }
    });
    gate.reached().await;
    world.issuer.drop_answer_next();
    gate.open();
    assert_eq!(asking.await.expect("no panic"), Err(RefreshErrorKind::Unavailable));
    let sent = world.issuer.token_requests();
    assert_eq!(sent, 2, "nothing is sent again after a lost answer");
    world.clock.advance(Duration::from_secs(2));
    // The replay: the consumed token comes back, and a strict provider ends the login.
    assert!(tokens.token().await.is_err());
    assert_eq!(world.issuer.token_requests(), sent + 1);
}

/// RFC 9449, section 8.2.
#[tokio::test]
async fn a_nonce_that_comes_with_tokens_is_in_the_next_proof() {
    let world = world(|issuer| issuer);
    let proofs = Arc::new(Mutex::new(Vec::new()));
    let (issuer, seen) = (world.issuer.clone(), proofs.clone());
    let transport = Transport::new(service_fn(move |request: Request<Bytes>| {
        let mut proofs = seen.lock().unwrap();
        proofs.push(claims(request.headers())["nonce"].clone());
        let mut answer = issuer.handle(request);
        let nonce = HeaderValue::from_str(&format!("n-{}", proofs.len())).expect("ASCII");
        answer.headers_mut().insert("dpop-nonce", nonce);
        async move { Ok::<_, io::Error>(answer.map(Full::new)) }
    }));
    let endpoint = token_endpoint(&world, transport);
    let world = world.asking(endpoint);
    let tokens = log_in(&world).await;
    for _ in 0..3 {
        world.expire();
        tokens.token().await.expect("refreshed");
    }
    assert_eq!(*proofs.lock().unwrap(), [Value::Null, "n-1".into(), "n-2".into()]);
}

#[tokio::test]
async fn many_logins_that_want_the_first_nonce_at_once_are_all_served() {
    let world = world(|issuer| issuer.dpop_nonces());
    let mut logins = Vec::new();
    for _ in 0..10 {
        logins.push(log_in(&world).await);
    }
    world.expire();
    let answers = join_all(logins.iter().map(|tokens| tokens.token())).await;
    assert!(answers.iter().all(Result::is_ok), "the refusals of a nonce count for nothing");
    assert_eq!(world.issuer.refreshes(), 10);
}
