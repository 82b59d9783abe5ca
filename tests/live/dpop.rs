//! Tokens that are bound to a key (DPoP; RFC 9449), at Keycloak and at oidc-provider, which wants its
//! own nonces in the proofs.

use std::time::Duration;

use futures_util::future::join_all;
use http::{Method, StatusCode};
use reqwest_middleware::ClientBuilder;
use serde_json::{Value, json};
use support::providers::{Browser, Provider};
use tower_sessions::MemoryStore;
use tower_token_refresh::{
    ApiHosts, BearerMiddleware, DpopKey, RefreshErrorKind, ServiceTokens, TokenRefresher, TokenSet,
    TokenSource, testing::ManualClock, tower_sessions,
};
use uuid::Uuid;

const SECRET: &str = "secret";

/// A client of Keycloak that must prove a key.
async fn keycloak(is_public: bool) -> Provider {
    let keycloak = Provider::keycloak().await;
    let id: &'static str = format!("dpop-{}", Uuid::new_v4().simple()).leak();
    let client = json!({
        "clientId": id,
        "enabled": true,
        "publicClient": is_public,
        "secret": SECRET,
        "standardFlowEnabled": true,
        "serviceAccountsEnabled": !is_public,
        "redirectUris": ["*"],
        "attributes": { "dpop.bound.access.tokens": "true" },
    });
    keycloak.admin().create_client(&client).await;
    keycloak.with_client(id, (!is_public).then_some(SECRET))
}

/// What the provider's userinfo says through a client that proves the key of the token.
async fn userinfo(provider: &Provider, tokens: impl TokenSource) -> (StatusCode, Value) {
    let url = provider.url("userinfo_endpoint");
    let host = format!("{}:{}", url.host_str().expect("a host"), url.port().expect("a port"));
    let hosts = ApiHosts::new([host]).expect("a host");
    let client = ClientBuilder::new(reqwest::Client::new());
    let client = client.with(BearerMiddleware::new(tokens, &hosts)).build();
    let answer = client.get(url).send().await.expect("an answer");
    let status = answer.status();
    (status, answer.json().await.unwrap_or_default())
}

/// A user logs in, is refreshed three times by twenty at once, calls an API, and logs out.
async fn lives_and_ends(provider: &Provider) {
    let refresher = TokenRefresher::builder(provider.endpoint().await, MemoryStore::default())
        .build()
        .expect("the settings agree");
    let user = provider.new_user().await;
    let key = DpopKey::generate();
    let response = Browser::new().log_in_bound_to(provider, &user, &key).await;
    assert_eq!(response["token_type"], "DPoP");
    let set = TokenSet::from_response(response).expect("a token set").with_dpop_key(key);
    let handle = refresher.adopt(set).await.expect("adopted");
    let tokens = refresher.tokens(&handle);
    for _ in 0..3 {
        let held = tokens.token().await.expect("a token");
        let answers = join_all((0..20).map(|_| tokens.newer_than(&held))).await;
        let newer = answers[0].as_ref().expect("refreshed").secret().to_owned();
        assert_ne!(newer, held.secret());
        let same = |answer: &Result<_, _>| {
            answer.as_ref().is_ok_and(|it: &tower_token_refresh::AccessToken| it.secret() == newer)
        };
        assert!(answers.iter().all(same), "one refresh for all");
        let (status, claims) = userinfo(provider, tokens.clone()).await;
        assert_eq!((status, claims["sub"].as_str()), (StatusCode::OK, Some(&*user.subject)));
    }
    assert_eq!(provider.refreshes(&user).await.granted, 3);
    let last = tokens.token().await.expect("a token");
    assert!(!provider.is_live(last.secret()).await, "a bound token is no bearer token");

    refresher.end(&handle).await.expect("ended");
    refresher.shutdown(Duration::from_secs(30)).await.expect("all is revoked");
    let proof = last
        .dpop_proof(
            &Method::GET,
            &provider.url("userinfo_endpoint").as_str().parse().expect("a URI"),
        )
        .expect("it is bound");
    let answer = provider.ask(Method::GET, "userinfo_endpoint", |request| {
        request.header("authorization", last.header()).header("dpop", proof.header())
    });
    let answer = answer.await;
    // oidc-provider looks at the nonce first.
    let refused = if answer.challenge.contains("use_dpop_nonce") {
        let nonce = answer.dpop_nonce.expect("a nonce");
        let answer = provider.ask(Method::GET, "userinfo_endpoint", |request| {
            let proof = proof.nonce(nonce).header();
            request.header("authorization", last.header()).header("dpop", proof)
        });
        answer.await
    } else {
        answer
    };
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "revoked: {refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Keycloak: see tests/services/run"]
async fn a_public_clients_login_at_keycloak_is_bound_with_its_refresh_tokens() {
    lives_and_ends(&keycloak(true).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Keycloak: see tests/services/run"]
async fn a_confidential_clients_access_tokens_are_bound_at_keycloak() {
    lives_and_ends(&keycloak(false).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs oidc-provider: see tests/services/run"]
async fn oidc_provider_gets_the_nonces_that_it_wants() {
    let provider = Provider::oidc_provider().await.with_client("spa", None);
    lives_and_ends(&provider).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Keycloak: see tests/services/run"]
async fn with_another_key_keycloak_ends_the_login() {
    let provider = keycloak(true).await;
    let refresher = TokenRefresher::builder(provider.endpoint().await, MemoryStore::default())
        .build()
        .expect("the settings agree");
    let user = provider.new_user().await;
    let own = DpopKey::generate();
    let response = Browser::new().log_in_bound_to(&provider, &user, &own).await;
    let refresh_token = response["refresh_token"].as_str().expect("a token").to_owned();
    let set = TokenSet::from_response(response).expect("a token set");
    let handle = refresher.adopt(set.with_dpop_key(DpopKey::generate())).await.expect("adopted");
    let tokens = refresher.tokens(&handle);
    let held = tokens.token().await.expect("a token");
    let error = tokens.newer_than(&held).await.expect_err("the wrong key");
    assert_eq!(error.kind(), RefreshErrorKind::SessionExpired, "{error}");
    let form = [("grant_type", "refresh_token"), ("refresh_token", &refresh_token)];
    let answer = provider.grant_bound_to(&own, &form).await;
    assert_eq!(answer.status, StatusCode::OK, "it was not used up: {:?}", answer.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Keycloak: see tests/services/run"]
async fn a_services_own_token_is_bound_to_its_key() {
    let provider = keycloak(false).await;
    let key = DpopKey::generate();
    let tokens = ServiceTokens::builder(provider.endpoint().await)
        .dpop_key(key.clone())
        .clock(ManualClock::new().clock())
        .build();
    let error = tokens.expect("settings agree").token().await.expect_err("proofs of another time");
    // Keycloak has no better word for it.
    assert!(error.to_string().contains("invalid_request"), "{error}");
    assert!(error.to_string().contains("clock"), "{error}");

    let tokens = ServiceTokens::builder(provider.endpoint().await).dpop_key(key.clone());
    let token = tokens.build().expect("settings agree").token().await.expect("a token");
    let form = [("token", token.secret())];
    let (id, secret) = (provider.client_id(), SECRET);
    let asked = provider.ask(Method::POST, "introspection_endpoint", |request| {
        request.basic_auth(id, Some(secret)).form(&form)
    });
    let claims = asked.await.body;
    assert_eq!(
        (&claims["active"], &claims["cnf"]["jkt"]),
        (&json!(true), &json!(key.thumbprint()))
    );
}
