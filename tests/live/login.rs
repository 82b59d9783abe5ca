//! The login routes at real providers: log in, who it is, two expiries' worth of refreshes, log
//! out.

use axum::{
    Json, Router,
    body::{Body, to_bytes},
    http::{Request, Response, header},
    routing::get,
};
use serde_json::Value;
use support::providers::{Browser, Provider, REDIRECT_URI};
use tower::ServiceExt;
use tower_token_refresh::{
    AccessToken, Identity, LoginRoutes, LoginTokens, TokenRefreshLayer, TokenRefresher,
    tower_sessions::MemoryStore,
};
use url::Url;

/// An application that the browser reaches by the redirect URI that the providers know.
struct App {
    router: Router,
    cookies: String,
}

impl App {
    async fn at(provider: &Provider, set: impl FnOnce(LoginRoutes) -> LoginRoutes) -> Self {
        let endpoint = provider.endpoint().await;
        let refresher = TokenRefresher::builder(endpoint, MemoryStore::default()).build();
        let refresher = refresher.expect("the settings agree");
        let origin = REDIRECT_URI.trim_end_matches("/auth/callback");
        let login = refresher.login_routes(origin).prefix("/auth").scopes(["openid", "profile"]);
        let router = Router::new()
            .route("/whoami", get(async |user: Identity<Value>| Json((*user).clone())))
            .route("/token", get(async |token: AccessToken| token.secret().to_owned()))
            .route("/newer", get(newer))
            .layer(TokenRefreshLayer::new(&refresher).lazy())
            .merge(set(login).build().expect("the settings agree"))
            .layer(refresher.session_layer().with_secure(false));
        Self { router, cookies: String::new() }
    }

    async fn send(&mut self, method: &str, path: &str) -> Response<Body> {
        let request = Request::builder().method(method).uri(path);
        let request = request.header(header::ORIGIN, "http://127.0.0.1");
        let request = request.header(header::COOKIE, &self.cookies);
        let request = request.body(Body::empty()).expect("a request");
        let answer = self.router.clone().oneshot(request).await.expect("infallible");
        let lines = answer.headers().get_all(header::SET_COOKIE).iter();
        let set: Vec<_> = lines.filter_map(|line| line.to_str().ok()?.split(';').next()).collect();
        if !set.is_empty() {
            self.cookies = set.join("; ");
        }
        answer
    }

    async fn text(&mut self, path: &str) -> String {
        let answer = self.send("GET", path).await;
        assert_eq!(answer.status(), 200, "{path}");
        let body = to_bytes(answer.into_body(), usize::MAX).await.expect("a body");
        String::from_utf8(body.into()).expect("text")
    }
}

/// As if an API had refused the token.
async fn newer(tokens: LoginTokens) -> String {
    let token = tokens.token().await.expect("a token");
    tokens.newer_than(&token).await.expect("a newer token").secret().to_owned()
}

fn location(answer: &Response<Body>) -> Url {
    let location = answer.headers()[header::LOCATION].to_str().expect("ASCII");
    location.parse().expect("a URL")
}

async fn logs_in_and_out(provider: &Provider, set: impl FnOnce(LoginRoutes) -> LoginRoutes) {
    let user = provider.new_user().await;
    let (mut app, browser) = (App::at(provider, set).await, Browser::new());
    let begun = app.send("GET", &format!("/auth/login?login_hint={}", user.name)).await;
    assert_eq!(begun.status(), 303);
    let callback = browser.follow_until(location(&begun), REDIRECT_URI, &user).await;
    let callback = format!("{}?{}", callback.path(), callback.query().expect("an answer"));
    let done = app.send("GET", &callback).await;
    assert_eq!(done.status(), 303, "logged in");

    let who: Value = serde_json::from_str(&app.text("/whoami").await).expect("JSON");
    assert_eq!(who["sub"], user.subject, "{}", provider.name);
    let mut token = app.text("/token").await;
    for _ in 0..2 {
        let newer = app.text("/newer").await;
        assert_ne!(newer, token);
        token = newer;
    }
    assert!(provider.is_live(&token).await);

    let out = app.send("POST", "/auth/logout").await;
    assert_eq!(out.status(), 303);
    let there = location(&out);
    assert!(there.as_str().starts_with(provider.url("end_session_endpoint").as_str()), "{there}");
    assert!(!provider.is_live(&token).await, "its tokens are revoked");
    assert_eq!(app.send("GET", "/whoami").await.status(), 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Keycloak: see tests/services/run"]
async fn at_keycloak() {
    logs_in_and_out(&Provider::keycloak().await, |routes| routes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Keycloak: see tests/services/run"]
async fn at_keycloak_by_a_pushed_request_and_with_max_age() {
    let keycloak = Provider::keycloak().await;
    logs_in_and_out(&keycloak, |routes| routes.pushed().param("max_age", "600")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs oidc-provider: see tests/services/run"]
async fn at_oidc_provider() {
    logs_in_and_out(&Provider::oidc_provider().await, |routes| routes).await;
}
