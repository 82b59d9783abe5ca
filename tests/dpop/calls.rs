//! Calls of an API with bound tokens, through the layer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{future::join_all, stream};
use http::{HeaderMap, Method, StatusCode, Uri, header};
use http_body_util::StreamBody;
use tower_token_refresh::{
    ApiHosts, DpopKey, DpopProof, TokenExchange, TokenTarget,
    testing::{Endpoint, ManualClock},
};

use super::{
    Api, bound_set, claims,
    hosts::{BAD_TOKEN, USE_NONCE, api, call_rule, unauthorized},
    log_in, revoke, scheme, world,
};

#[tokio::test]
async fn each_request_has_the_token_and_a_proof_of_its_own() {
    let world = world(|issuer| issuer);
    let (tokens, api) = (log_in(&world).await, Api::of(&world));
    for _ in 0..2 {
        assert_eq!(api.status(&tokens).await, StatusCode::OK);
    }
    let calls = api.calls();
    let (one, other) = (claims(&calls[0]), claims(&calls[1]));
    assert_eq!((scheme(&calls[0]), &one["htm"]), ("DPoP", &"GET".into()));
    assert_eq!(one["htu"], world.issuer.userinfo_url(), "without the query");
    assert!(one["ath"].is_string() && one["jti"] != other["jti"], "{one} {other}");
    assert!(calls[0]["dpop"].is_sensitive() && calls[0][header::AUTHORIZATION].is_sensitive());
}

#[tokio::test]
async fn a_nonce_that_the_api_wants_costs_one_call_more_and_no_refresh() {
    let world = world(|issuer| issuer.dpop_nonces());
    let (tokens, api) = (log_in(&world).await, Api::of(&world));
    let expected = [(1, 2), (2, 3)];
    for (calls, sent) in expected {
        assert_eq!(api.status(&tokens).await, StatusCode::OK);
        assert_eq!(api.calls().len(), sent, "after {calls} calls");
    }
    world.issuer.new_dpop_nonce();
    assert_eq!(api.status(&tokens).await, StatusCode::OK);
    assert_eq!((api.calls().len(), world.issuer.token_requests()), (5, 0));
}

#[tokio::test]
async fn a_nonce_may_be_wanted_after_the_token_was_refused_and_before() {
    for errors in [[BAD_TOKEN, USE_NONCE], [USE_NONCE, BAD_TOKEN]] {
        let world = world(|issuer| issuer);
        let (tokens, sent) = (log_in(&world).await, Arc::new(AtomicUsize::new(0)));
        let counted = sent.clone();
        world.clock.advance(Duration::from_secs(15));
        let rule = move |_: &HeaderMap| {
            let nth = counted.fetch_add(1, Ordering::SeqCst);
            let refusal = |error| unauthorized(error, Some(&format!("n-{nth}")));
            errors.get(nth).copied().map(refusal).unwrap_or_default()
        };
        let answer = call_rule(&api(&world), &tokens, rule).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!((sent.load(Ordering::SeqCst), world.issuer.refreshes()), (3, 1), "{errors:?}");
    }
}

#[tokio::test]
async fn an_api_that_is_never_content_with_a_nonce_is_called_twice() {
    let world = world(|issuer| issuer);
    let (tokens, sent) = (log_in(&world).await, Arc::new(AtomicUsize::new(0)));
    let (counted, api) = (sent.clone(), api(&world));
    let rule = move |_: &HeaderMap| {
        let nonce = format!("n-{}", counted.fetch_add(1, Ordering::SeqCst));
        unauthorized(USE_NONCE, Some(&nonce))
    };
    world.clock.advance(Duration::from_secs(15));
    for calls in [2, 4] {
        let answer = call_rule(&api, &tokens, rule.clone()).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert_eq!((sent.load(Ordering::SeqCst), world.issuer.refreshes()), (calls, 0));
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_sent_again_passes_the_401_on_and_the_nonce_is_learned() {
    let world = world(|issuer| issuer.dpop_nonces());
    let (tokens, api) = (log_in(&world).await, Api::of(&world));
    let chunks = || {
        let chunk = http_body::Frame::data(Bytes::from_static(b"x"));
        StreamBody::new(stream::iter([Ok::<_, std::convert::Infallible>(chunk)]))
    };
    let first = api.call_with(&tokens, chunks()).await.expect("an answer");
    assert_eq!((first.status(), api.calls().len()), (StatusCode::UNAUTHORIZED, 1));
    let second = api.call_with(&tokens, chunks()).await.expect("an answer");
    assert_eq!((second.status(), api.calls().len()), (StatusCode::OK, 2));
}

#[tokio::test]
async fn a_refused_token_is_refreshed_once_and_its_successor_is_proved_too() {
    for with_nonces in [false, true] {
        let world = world(|issuer| if with_nonces { issuer.dpop_nonces() } else { issuer });
        let (tokens, api) = (log_in(&world).await, Api::of(&world));
        let first = tokens.token().await.expect("a token");
        world.clock.advance(Duration::from_secs(15));
        // The provider ends the access token alone, before its time.
        revoke(&world.issuer, first.secret());
        let answers = join_all((0..10).map(|_| api.status(&tokens))).await;
        assert!(answers.iter().all(|status| *status == StatusCode::OK), "{answers:?}");
        assert_eq!(world.issuer.refreshes(), 1);
        let last = api.calls().last().cloned().expect("a call");
        assert_eq!(scheme(&last), "DPoP");
        assert_ne!(last[header::AUTHORIZATION], first.header());
    }
}

#[tokio::test]
async fn what_another_token_cannot_heal_is_passed_on() {
    let world = world(|issuer| issuer);
    let (tokens, api) = (log_in(&world).await, Api::of(&world));
    // By the API's clock the proofs are from the future.
    let ahead = ManualClock::new();
    ahead.advance(Duration::from_secs(30));
    let hosts = ApiHosts::new(["id.example.test"]).expect("a host").clock(ahead.clock());
    let api = Api { hosts, ..api };
    let answer = api.call(&tokens).await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let challenge = answer.headers()[header::WWW_AUTHENTICATE].to_str().expect("ASCII");
    assert!(challenge.contains("invalid_dpop_proof"), "{challenge}");
    assert_eq!((api.calls().len(), world.issuer.token_requests()), (1, 0));
}

#[tokio::test]
async fn a_bound_token_is_no_bearer_token_and_worth_nothing_without_its_key() {
    let world = world(|issuer| issuer);
    let own = DpopKey::generate();
    let set = bound_set(&world, &own);
    let handle = world.refresher.adopt(set).await.expect("adopted");
    let token = world.refresher.tokens(&handle).token().await.expect("a token");
    let uri: Uri = world.issuer.userinfo_url().parse().expect("a URL");
    let ask = |authorization: String, proof: Option<DpopProof>| {
        let mut request = http::Request::get(uri.clone()).header("authorization", authorization);
        if let Some(proof) = proof {
            request = request.header("dpop", proof.header());
        }
        let answer = world.issuer.handle(request.body(Bytes::new()).expect("a request"));
        answer.status()
    };
    let secret = token.secret();
    assert_eq!(ask(format!("Bearer {secret}"), None), StatusCode::UNAUTHORIZED);
    assert_eq!(ask(format!("DPoP {secret}"), None), StatusCode::UNAUTHORIZED);
    let thief = DpopKey::generate().proof(&Method::GET, &uri).access_token(secret);
    assert_eq!(ask(format!("DPoP {secret}"), Some(thief)), StatusCode::UNAUTHORIZED);
    assert_eq!(world.issuer.requests(Endpoint::UserInfo), 3);
}

#[tokio::test]
async fn an_exchanged_token_is_bound_to_the_users_key() {
    let world = support::World::configured(|issuer| issuer.requires_dpop(), |it| it);
    let (tokens, api) = (log_in(&world).await, Api::of(&world));
    let target = TokenTarget::new().audience("orders");
    let exchange = TokenExchange::new(&world.refresher, target).expect("a target");
    let exchanged = exchange.tokens(&tokens);
    assert_eq!(api.status(&exchanged).await, StatusCode::OK);
    assert_eq!(scheme(&api.calls()[0]), "DPoP");
    assert_ne!(
        exchanged.token().await.expect("a token").secret(),
        tokens.token().await.expect("a token").secret()
    );
}
