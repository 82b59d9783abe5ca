//! Answers of the provider that are about a proof or its nonce: no login is lost by them, and no other
//! login suffers.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use support::World;
use tower::service_fn;
use tower_token_refresh::{
    ClientAuth, DpopKey, RefreshErrorKind, TokenEndpoint, TokenSet, Transport,
};

use super::{log_in, world};

pub(crate) fn token_endpoint(world: &World, transport: Transport) -> TokenEndpoint {
    TokenEndpoint::new(world.issuer.token_url(), ClientAuth::none("web")).transport(transport)
}

pub(crate) fn error(status: u16, code: &str, nonce: Option<&str>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(format!(r#"{{"error":"{code}"}}"#)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    if let Some(nonce) = nonce {
        response.headers_mut().insert("dpop-nonce", HeaderValue::from_str(nonce).unwrap());
    }
    response
}

/// The provider refuses each request with a proof, and counts and serves the others.
fn refusing_proofs(
    world: World,
    code: &'static str,
    nonce: Option<&'static str>,
) -> (World, Arc<AtomicUsize>) {
    let (issuer, served) = (world.issuer.clone(), Arc::new(AtomicUsize::new(0)));
    let counted = served.clone();
    let transport = Transport::new(service_fn(move |request: Request<Bytes>| {
        let answer = if request.headers().contains_key("dpop") {
            error(400, code, nonce)
        } else {
            counted.fetch_add(1, Ordering::SeqCst);
            issuer.handle(request)
        };
        async move { Ok::<_, io::Error>(answer.map(Full::new)) }
    }));
    let endpoint = token_endpoint(&world, transport);
    (world.asking(endpoint), served)
}

/// Keycloak says `invalid_request` for a proof that it does not accept (`explain_proof` knows it): a
/// wrong clock, or a proxy. Logins without a key are served meanwhile.
#[tokio::test]
async fn a_login_outlives_proofs_that_are_refused_as_invalid_request() {
    let world = world(|issuer| issuer);
    let world = refusing_proofs(world, "invalid_request", None).0;
    let key = DpopKey::generate();
    let response = world.issuer.log_in_bound_to("alice", &key);
    let refresh_token = response["refresh_token"].as_str().unwrap().to_owned();
    let set = TokenSet::from_response(response).unwrap().with_dpop_key(key);
    let bound = world.refresher.tokens(&world.refresher.adopt(set).await.unwrap());
    let set = TokenSet::from_response(world.issuer.log_in("bob")).unwrap();
    let plain = world.refresher.tokens(&world.refresher.adopt(set).await.unwrap());
    let mut kinds = Vec::new();
    for _ in 0..5 {
        world.expire();
        kinds.push(bound.token().await.map(drop).map_err(|error| error.kind()));
        plain.token().await.expect("served");
    }
    assert!(world.issuer.is_refresh_token_live(&refresh_token), "it was not touched");
    let ended = kinds.contains(&Err(RefreshErrorKind::SessionExpired));
    assert!(!ended, "the login ended after a few minutes: {kinds:?}");
}

/// The same words for `invalid_dpop_proof` end nothing.
#[tokio::test]
async fn a_login_outlives_proofs_that_are_refused_by_name() {
    let world = world(|issuer| issuer);
    let world = refusing_proofs(world, "invalid_dpop_proof", None).0;
    let bound = log_in(&world).await;
    let set = TokenSet::from_response(world.issuer.log_in("bob")).unwrap();
    let plain = world.refresher.tokens(&world.refresher.adopt(set).await.unwrap());
    for _ in 0..10 {
        world.expire();
        let kind = bound.token().await.map(drop).map_err(|error| error.kind());
        assert_eq!(kind, Err(RefreshErrorKind::Misconfigured));
        plain.token().await.expect("served");
    }
}

/// A login without a key gets a DPoP token from a provider that does not rotate: docs/dpop.md says
/// that the refresh fails with `InvalidResponse`.
#[tokio::test]
async fn a_login_without_a_key_outlives_bound_tokens() {
    for rotates in [true, false] {
        let world = world(|issuer| issuer);
        let issuer = world.issuer.clone();
        let bob = Arc::new(Mutex::new(String::new()));
        let (is_bob, on) = (bob.clone(), Arc::new(AtomicBool::new(true)));
        let still = on.clone();
        let transport = Transport::new(service_fn(move |request: Request<Bytes>| {
            let body = String::from_utf8_lossy(request.body()).into_owned();
            let other =
                !is_bob.lock().unwrap().is_empty() && body.contains(&*is_bob.lock().unwrap());
            let answer = if other || !still.load(Ordering::SeqCst) {
                issuer.handle(request)
            } else if rotates {
                let mut answer = issuer.handle(request);
                let mut json: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
                json["token_type"] = "DPoP".into();
                *answer.body_mut() = json.to_string().into();
                answer
            } else {
                Response::new(Bytes::from(
                    r#"{"access_token":"x","token_type":"DPoP","expires_in":60}"#,
                ))
            };
            async move { Ok::<_, io::Error>(answer.map(Full::new)) }
        }));
        let endpoint = token_endpoint(&world, transport);
        let world = world.asking(endpoint);
        let set = TokenSet::from_response(world.issuer.log_in("alice")).unwrap();
        let tokens = world.refresher.tokens(&world.refresher.adopt(set).await.unwrap());
        let response = world.issuer.log_in("bob");
        *bob.lock().unwrap() = response["refresh_token"].as_str().unwrap().to_owned();
        let other = TokenSet::from_response(response).unwrap();
        let other = world.refresher.tokens(&world.refresher.adopt(other).await.unwrap());
        let mut kinds = Vec::new();
        for n in 0..5 {
            world.expire();
            kinds.push(tokens.token().await.map(drop).map_err(|error| error.kind()));
            if n == 1 {
                other.token().await.expect("served");
            }
        }
        on.store(false, Ordering::SeqCst);
        world.expire();
        let last = tokens.token().await.map(drop).map_err(|error| error.kind());
        let ended = kinds.contains(&Err(RefreshErrorKind::SessionExpired));
        assert!(!ended && last.is_ok(), "rotates {rotates}: {kinds:?}, then {last:?}");
    }
}

/// Three logins whose proofs are refused say nothing of those without a key.
#[tokio::test]
async fn refused_proofs_do_not_hold_back_logins_without_a_key() {
    let mut wrong = Vec::new();
    for code in ["invalid_dpop_proof", "use_dpop_nonce"] {
        let world = world(|issuer| issuer);
        let (world, plain) = refusing_proofs(world, code, Some("n"));
        let mut bound = Vec::new();
        for _ in 0..3 {
            bound.push(log_in(&world).await);
        }
        let set = TokenSet::from_response(world.issuer.log_in("bob")).unwrap();
        let bob = world.refresher.tokens(&world.refresher.adopt(set).await.unwrap());
        world.expire();
        for tokens in &bound {
            tokens.token().await.map(drop).unwrap_err();
        }
        let told = bob.token().await.map(drop).map_err(|error| error.kind());
        let sent = plain.load(Ordering::SeqCst);
        wrong.extend(told.err().map(|kind| (code, kind, sent)));
    }
    assert!(wrong.is_empty(), "a login without a key gets, after so many requests: {wrong:?}");
}
