//! A login whose tokens are bound: its refreshes, in this process and in others.

use futures_util::future::join_all;
use support::{StoredTokens, World, log::Log, seal};
use tower_token_refresh::{
    DpopKey, GrantHandle, Logout, RefreshErrorKind, TokenRefresher, TokenSet,
};

use super::{bound_set, log_in, world};

#[tokio::test]
async fn over_three_expiries_fifty_callers_each_prove_the_key_once() {
    let world = world(tower_token_refresh::testing::StrictIssuerBuilder::requires_dpop);
    let tokens = log_in(&world).await;
    for expiries in 1..=3 {
        world.expire();
        let answers = join_all((0..50).map(|_| tokens.token())).await;
        let first = answers[0].as_ref().expect("a token").secret().to_owned();
        assert!(world.issuer.is_access_token_live(&first));
        assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|it| it.secret() == first)));
        assert_eq!(world.issuer.refreshes(), expiries);
    }
    assert_eq!(world.issuer.max_presented(), 1);
}

#[tokio::test]
async fn a_session_that_is_logged_in_with_a_key_is_refreshed_and_revoked() {
    let world = world(|issuer| issuer);
    let session = world.session_with(None, None);
    let key = DpopKey::generate();
    world.refresher.log_in(&session, bound_set(&world, &key)).await.expect("logged in");
    world.expire();
    let token = world.refresher.valid_token(&session).await.expect("refreshed");
    assert!(token.header().to_str().expect("ASCII").starts_with("DPoP "));
    world.refresher.log_out(&session, Logout::EndSession).await.expect("logged out");
    world.refresher.shutdown(std::time::Duration::from_secs(5)).await.expect("all is revoked");
    assert!(!world.issuer.is_access_token_live(token.secret()));
}

#[tokio::test]
async fn another_process_has_the_key_from_the_record_alone() {
    let issuer = |issuer: tower_token_refresh::testing::StrictIssuerBuilder| {
        issuer.public_client("web").requires_dpop()
    };
    let sealed = World::configured(issuer, |builder| builder.seal_with(seal::keys()));
    let endpoint = || super::endpoint(&sealed.issuer);
    let process = || {
        TokenRefresher::builder(endpoint(), sealed.sessions.clone())
            .token_store(sealed.tokens.clone())
            .clock(sealed.clock.clock())
            .seal_with(seal::keys())
            .build()
            .expect("the settings agree")
    };
    let key = DpopKey::generate();
    let handle = process().adopt(bound_set(&sealed, &key)).await.expect("adopted").to_secret();
    for refreshes in 1..=2 {
        sealed.expire();
        let other = process();
        let tokens = other.tokens(&GrantHandle::from_secret(&handle).expect("a handle"));
        let token = tokens.token().await.expect("refreshed");
        let proof = token.dpop_proof(&http::Method::GET, &http::Uri::from_static("https://a.b/"));
        assert!(proof.is_some(), "the new token is bound as well");
        assert_eq!(sealed.issuer.refreshes(), refreshes);
    }
    match sealed.tokens_of(&handle).await {
        StoredTokens::Live { sealed, payload, .. } => {
            assert!(sealed && payload["dpop_key"].is_string(), "the key lies in the sealed part");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn bound_tokens_without_their_key_are_refused_and_nobody_is_logged_in() {
    let world = world(|issuer| issuer);
    let response = world.issuer.log_in_bound_to("alice", &DpopKey::generate());
    let set = || TokenSet::from_response(&response).expect("a token set");
    let session = world.session_with(None, None);
    let error = world.refresher.log_in(&session, set()).await.expect_err("no key");
    assert_eq!(error.kind(), RefreshErrorKind::Misconfigured);
    assert!(error.to_string().contains("with_dpop_key"), "{error}");
    let error = world.refresher.valid_token(&session).await.expect_err("nobody is logged in");
    assert_eq!(error.kind(), RefreshErrorKind::NoTokens);
    let error = world.refresher.adopt(set()).await.map(drop).expect_err("no key");
    assert_eq!(error.kind(), RefreshErrorKind::Misconfigured);
}

#[tokio::test]
async fn with_another_key_the_refresh_token_is_dead_and_not_used_up() {
    let world = world(|issuer| issuer);
    let own = DpopKey::generate();
    let response = world.issuer.log_in_bound_to("alice", &own);
    let refresh_token = response["refresh_token"].as_str().expect("a token").to_owned();
    let set = TokenSet::from_response(response).expect("a token set");
    let set = set.with_dpop_key(DpopKey::generate());
    let handle = world.refresher.adopt(set).await.expect("adopted");
    world.expire();
    let error = world.refresher.tokens(&handle).token().await.expect_err("the wrong key");
    assert_eq!(error.kind(), RefreshErrorKind::SessionExpired);
    assert!(world.issuer.is_refresh_token_live(&refresh_token), "it was not touched");
}

#[tokio::test]
async fn a_refresh_that_brings_a_bearer_token_brings_one_without_proofs() {
    let world = world(|issuer| issuer);
    // A provider without DPoP ignores the proof of the login as well.
    let response = world.issuer.log_in("alice");
    let set = TokenSet::from_response(response).expect("a token set");
    let set = set.with_dpop_key(DpopKey::generate());
    let tokens = world.refresher.tokens(&world.refresher.adopt(set).await.expect("adopted"));
    let any = (http::Method::GET, http::Uri::from_static("https://a.b/"));
    assert!(tokens.token().await.expect("a token").dpop_proof(&any.0, &any.1).is_none());
    world.issuer.edit_next(|body| body["token_type"] = "Bearer".into());
    world.expire();
    let token = tokens.token().await.expect("refreshed");
    assert!(token.header().to_str().expect("ASCII").starts_with("Bearer "));
    assert!(token.dpop_proof(&any.0, &any.1).is_none());
}

#[tokio::test]
async fn neither_key_nor_proof_is_printed() {
    let log = Log::of_this_thread();
    let world = world(|issuer| issuer.dpop_nonces());
    let key = DpopKey::generate();
    let set = bound_set(&world, &key);
    let proof = key.proof(&http::Method::GET, &http::Uri::from_static("https://a.b/c?token=1"));
    let printed = format!("{key:?} {set:?} {proof:?} {:?}", proof.header());
    let tokens = world.refresher.tokens(&world.refresher.adopt(set).await.expect("adopted"));
    world.expire();
    let token = tokens.token().await.expect("refreshed");
    let printed = format!("{printed} {token:?} {}", log.text());
    for secret in world.issuer.every_secret().iter().map(String::as_str).chain([key.thumbprint()]) {
        assert!(!printed.contains(secret), "a secret is printed");
    }
    assert!(!printed.contains("eyJ") && !printed.contains("token=1"), "{printed}");
}
