//! Over real connections: an application, a browser's many calls and a provider, each on a port of
//! its own.

use std::sync::Arc;

use axum::{
    Router,
    extract::Request,
    middleware::{Next, from_fn},
    routing::get,
};
use futures_util::future::join_all;
use serde_json::json;
use support::{
    LIFE, StoredTokens, TokenOp, World,
    http::{cookie, serve},
};
use tokio::sync::Semaphore;
use tower_token_refresh::{
    AccessToken, ClaimsTrust, ClientAuth, ConfigError, DiscoveryError, Logout, ProviderLimits,
    RefreshErrorKind, TokenEndpoint, TokenRefreshLayer, TokenRefresher,
    testing::{Endpoint, StrictIssuer},
};

use super::{refused, served};

fn client_auth() -> ClientAuth {
    ClientAuth::basic("web", "secret")
}

/// Fifty calls of one page at once, all with an expired token.
async fn assert_fifty_calls_make_one_token_request(world: World) {
    let id = world.log_in("alice").await;
    world.expire();
    let arrived = Arc::new(Semaphore::new(0));
    let arrivals = arrived.clone();
    let count = move |request: Request, next: Next| {
        arrivals.add_permits(1);
        next.run(request)
    };
    let app = Router::new()
        .route("/", get(async |token: AccessToken| token.secret().to_owned()))
        .layer(TokenRefreshLayer::new(&world.refresher))
        .layer(world.refresher.session_layer())
        .layer(from_fn(count));
    let url = serve(app).await;
    let browser = reqwest::Client::new();
    let mark = world.tokens.gate_before(TokenOp::Swap);

    let calls = (0..50).map(|_| browser.get(&url).header("cookie", cookie(id)).send());
    let calls = tokio::spawn(join_all(calls.collect::<Vec<_>>()));
    mark.reached().await;
    let _all = arrived.acquire_many(50).await.expect("never closed");
    mark.open();

    for answer in calls.await.expect("no panic") {
        let answer = answer.unwrap();
        assert_eq!(answer.status().as_u16(), 200);
        assert!(world.issuer.is_access_token_live(&answer.text().await.unwrap()));
    }
    assert_eq!(world.issuer.token_requests(), 1);
    world.assert_logged_in(id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_calls_make_one_request_to_a_provider_over_http() {
    let world = World::on_memory();
    let provider = world.issuer.serve().await.unwrap();
    let world = world.asking(TokenEndpoint::new(provider.token_url(), client_auth()));
    assert_fifty_calls_make_one_token_request(world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_calls_make_one_request_to_a_provider_on_wiremock() {
    let world = World::on_memory();
    let provider = world.issuer.start_wiremock().await;
    let world = world.asking(TokenEndpoint::new(provider.token_url(), client_auth()));
    assert_fifty_calls_make_one_token_request(world).await;
    assert_eq!(provider.server().received_requests().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_provider_found_by_discovery_refreshes_verifies_and_revokes() {
    let world = World::on_memory();
    let provider = world.issuer.serve().await.unwrap();
    let endpoint = TokenEndpoint::discover(provider.issuer_url(), client_auth()).await.unwrap();
    let refresher = TokenRefresher::builder(endpoint, world.sessions.clone())
        .token_store(world.tokens.clone())
        .claims_trust(ClaimsTrust::Verified { audience: None })
        .clock(world.clock.clock())
        .build()
        .expect("the settings agree");
    let world = World { refresher, ..world };
    let id = world.log_in("alice").await;
    world.expire();
    let token = served(&world, id).await;
    assert!(world.issuer.is_access_token_live(token.secret()));
    assert_eq!(token.expires_at(), world.clock.clock().now() + LIFE);
    token.verify().await.expect("by the keys that the document names");

    world.refresher.log_out(&world.session(id), Logout::EndSession).await.unwrap();
    assert!(!world.issuer.session_alive(token.secret()));
    assert_eq!(world.stored_tokens(id).await, StoredTokens::NoPointer);
    assert_eq!(world.issuer.requests(Endpoint::Discovery), 1);
}

#[tokio::test]
async fn a_document_that_names_another_issuer_is_refused_with_both_names() {
    let issuer = StrictIssuer::new();
    let provider = issuer.serve().await.unwrap();
    let document =
        json!({ "issuer": "https://evil.example", "token_endpoint": issuer.token_url() });
    issuer.fail_next_at(Endpoint::Discovery, 200, document.to_string());
    let error = TokenEndpoint::discover(provider.issuer_url(), client_auth()).await.unwrap_err();
    let DiscoveryError::IssuerMismatch { expected, found } = &error else { panic!("{error:?}") };
    assert_eq!((expected, found.as_str()), (&provider.issuer_url(), "https://evil.example"));
    assert!(error.to_string().contains("evil.example") && error.to_string().contains(expected));
}

#[tokio::test]
async fn a_document_that_names_a_plain_http_token_endpoint_is_refused_with_its_host() {
    let issuer = StrictIssuer::new();
    let provider = issuer.serve().await.unwrap();
    let document =
        json!({ "issuer": provider.issuer_url(), "token_endpoint": "http://id.example/token" });
    issuer.fail_next_at(Endpoint::Discovery, 200, document.to_string());
    let error = TokenEndpoint::discover(provider.issuer_url(), client_auth()).await.unwrap_err();
    let DiscoveryError::UnusableUrl(ConfigError::PlainHttp { value, host, .. }) = &error else {
        panic!("{error:?}")
    };
    assert_eq!((value.as_str(), host.as_str()), ("http://id.example/token", "id.example"));
}

#[tokio::test]
async fn a_plain_http_issuer_is_refused_before_anything_is_sent() {
    let discovered =
        TokenEndpoint::discover("http://id.example/realms/a", client_auth()).await.unwrap_err();
    let DiscoveryError::Config(rule @ ConfigError::PlainHttp { .. }) = &discovered else {
        panic!("{discovered:?}")
    };
    assert!(
        rule.to_string().contains("not loopback") && rule.to_string().contains("id.example"),
        "{rule}"
    );
}

#[tokio::test]
async fn an_issuer_that_is_down_is_an_error_of_discovery() {
    let issuer = StrictIssuer::new();
    let provider = issuer.serve().await.unwrap();
    issuer.set_down(true);
    let error = TokenEndpoint::discover(provider.issuer_url(), client_auth()).await.unwrap_err();
    assert!(matches!(error, DiscoveryError::Fetch { status: Some(503), .. }), "{error:?}");
}

#[tokio::test]
async fn lazy_discovery_starts_with_the_provider_down_and_works_once_it_is_up() {
    let world = World::on_memory();
    let provider = world.issuer.serve().await.unwrap();
    world.issuer.set_down(true);
    let endpoint = TokenEndpoint::discover(provider.issuer_url(), client_auth());
    let world = world.asking(endpoint.limits(ProviderLimits::default().attempts(1)).lazy());
    let id = world.log_in("alice").await;
    // A fresh token needs no provider.
    served(&world, id).await;
    world.expire();
    let error = refused(&world, id).await;
    assert_eq!(error.kind(), RefreshErrorKind::Unavailable);

    world.issuer.set_down(false);
    let token = served(&world, id).await;
    assert!(world.issuer.is_access_token_live(token.secret()));
    world.assert_logged_in(id).await;
}

#[tokio::test]
async fn a_refused_connection_keeps_the_tokens() {
    let closed =
        tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
    let world = World::on_memory();
    let world = world.asking(TokenEndpoint::new(format!("http://{closed}/token"), client_auth()));
    let id = world.log_in("alice").await;
    world.expire();
    let error = refused(&world, id).await;
    assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
    let stored = world.stored_tokens(id).await;
    assert!(stored.is_live() && stored.generation() == Some(1), "{stored:?}");
}
