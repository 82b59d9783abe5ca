//! Calls that go out, with tokens of a real Keycloak: the application's own, exchanged ones, and
//! those of a user whose session an administrator ends.

use std::sync::Arc;

use axum::{Router, extract::State, routing::get};
use http::{HeaderMap, Method, Request, StatusCode, header};
use support::providers::{Browser, Provider, User};
use tower::{ServiceBuilder, ServiceExt, service_fn};
use tower_sessions::MemoryStore;
use tower_token_refresh::{
    ApiHosts, BearerLayer, LoginTokens, RefreshErrorKind, ServiceTokens, StandardClaims,
    TokenExchange, TokenRefresher, TokenSet, TokenSource, TokenTarget, testing::ManualClock,
    tower_sessions,
};

async fn introspected(provider: &Provider, token: &str) -> serde_json::Value {
    let (id, secret) = (provider.client_id(), provider.client_secret());
    let form = [("token", token)];
    let asked = provider.ask(Method::POST, "introspection_endpoint", |request| {
        request.basic_auth(id, Some(secret)).form(&form)
    });
    asked.await.body
}

async fn refresher(provider: &Provider) -> TokenRefresher {
    TokenRefresher::builder(provider.endpoint().await, MemoryStore::default())
        .build()
        .expect("the settings agree")
}

/// The tokens of a user who is logged in, without a session.
async fn login(provider: &Provider, refresher: &TokenRefresher) -> (User, LoginTokens) {
    let user = provider.new_user().await;
    let response = Browser::new().log_in(provider, &user).await;
    let set = TokenSet::from_response(response).expect("a token set");
    let handle = refresher.adopt(set).await.expect("adopted");
    (user, refresher.tokens(&handle))
}

#[tokio::test]
#[ignore = "needs Keycloak: see tests/services/run"]
async fn the_application_has_tokens_of_its_own_one_per_scope() {
    let provider = Provider::keycloak().await;
    let tokens = ServiceTokens::builder(provider.endpoint().await).build().expect("settings agree");
    tokens.warm_up().await.expect("Keycloak knows the client");
    let token = tokens.token().await.expect("a token");
    let claims = introspected(&provider, token.secret()).await;
    assert_eq!(claims["active"], true);
    assert_eq!(claims["username"], "service-account-web");

    let phone = tokens.for_target(TokenTarget::new().scope("phone")).expect("a scope");
    let phone = phone.token().await.expect("a token");
    assert!(phone.scope().is_some_and(|scope| scope.split(' ').any(|word| word == "phone")));
    let newer = tokens.newer_than(&token).await.expect("a newer token");
    assert_ne!(newer.secret(), token.secret());

    let unknown = tokens.for_target(TokenTarget::new().scope("no-such-scope")).expect("a scope");
    let error = unknown.token().await.expect_err("Keycloak does not know it");
    assert_eq!(error.kind(), RefreshErrorKind::Misconfigured);
    assert!(error.to_string().contains("invalid_scope"), "{error}");
}

#[tokio::test]
#[ignore = "needs Keycloak: see tests/services/run"]
async fn a_users_token_is_exchanged_for_one_of_another_api() {
    let provider = Provider::keycloak().await;
    let refresher = refresher(&provider).await;
    let (user, login) = login(&provider, &refresher).await;
    let orders = TokenTarget::new().audience("orders");
    let exchange = TokenExchange::new(&refresher, orders).expect("a target");
    let token = exchange.tokens(&login).token().await.expect("a token");
    let claims = token.claims::<StandardClaims>().expect("a JWT");
    assert_eq!(claims.aud, ["orders"]);
    assert_eq!(claims.sub.as_deref(), Some(&*user.subject));
    assert_eq!(introspected(&provider, token.secret()).await["active"], true);

    let other = TokenTarget::new().audience("spa");
    let other = TokenExchange::new(&refresher, other).expect("a target").tokens(&login);
    let error = other.token().await.expect_err("its tokens are not good there");
    assert_eq!(error.kind(), RefreshErrorKind::Misconfigured);
    login.token().await.expect("the login lives on");

    refresher.end(&login.handle()).await.expect("ended");
    let error = exchange.tokens(&login).token().await.expect_err("the login has ended");
    assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
}

/// An API that asks Keycloak about each token.
async fn orders(State(provider): State<Arc<Provider>>, headers: HeaderMap) -> StatusCode {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = value.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    let is_active = introspected(&provider, token).await["active"] == true;
    if is_active { StatusCode::OK } else { StatusCode::UNAUTHORIZED }
}

async fn call(api: &Router, tokens: impl TokenSource) -> StatusCode {
    // By this clock no token is so young that the layer would not ask for another one.
    let later = ManualClock::new().clock();
    let hosts = ApiHosts::new(["localhost"]).expect("a host").clock(later);
    let api = api.clone();
    let client = service_fn(move |request: Request<String>| {
        let api = api.clone();
        async move { api.oneshot(request.map(axum::body::Body::from)).await }
    });
    let client = ServiceBuilder::new().layer(BearerLayer::new(tokens, &hosts)).service(client);
    let request = Request::get("http://localhost/orders").body(String::new()).expect("a request");
    client.oneshot(request).await.expect("an answer").status()
}

#[tokio::test]
#[ignore = "needs Keycloak: see tests/services/run"]
async fn after_an_administrator_has_ended_the_session_an_apis_401_ends_the_login() {
    let provider = Provider::keycloak().await;
    let refresher = refresher(&provider).await;
    let (user, login) = login(&provider, &refresher).await;
    let api = Router::new().route("/orders", get(orders)).with_state(Arc::new(provider.clone()));
    assert_eq!(call(&api, login.clone()).await, StatusCode::OK);

    provider.admin().log_user_out(&user.subject).await;
    assert_eq!(call(&api, login.clone()).await, StatusCode::UNAUTHORIZED);
    let error = login.token().await.expect_err("Keycloak refuses the refresh token");
    assert_eq!(error.kind(), RefreshErrorKind::SessionExpired);
}
