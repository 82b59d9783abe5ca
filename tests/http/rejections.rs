//! What a request that gets no token is answered when the application has a word in it.

use ::http::{Method, Request, StatusCode, header, request::Parts};
use axum::{Router, body::Body, routing::get};
use bytes::Bytes;
use support::{
    World,
    http::{self, Answer, ask},
};
use tower_token_refresh::{
    AccessToken, Claims, RefreshError, RefreshErrorKind as Kind, TokenRefreshLayer,
    rejection::redirect_browsers_to,
};

pub(super) const LOGIN: &str = "/auth/login";
pub(super) const NAVIGATION: [(&str, &str); 2] =
    [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];

pub(super) fn routes() -> Router {
    let token = get(async |_: AccessToken| "token").post(async |_: AccessToken| "token");
    Router::new()
        .route("/", token.clone())
        .route("/account", token.clone())
        .route(LOGIN, token)
        .route("/claims", get(async |_: Claims| "claims"))
        .route(
            "/who",
            get(async |token: Option<AccessToken>| if token.is_some() { "you" } else { "nobody" }),
        )
        .route(
            "/who/claims",
            get(async |claims: Option<Claims>| if claims.is_some() { "you" } else { "nobody" }),
        )
        .fallback(async |_: AccessToken| "fallback")
}

fn layer(world: &World) -> TokenRefreshLayer {
    TokenRefreshLayer::new(&world.refresher)
        .on_rejection(redirect_browsers_to(LOGIN).expect("a path"))
}

pub(super) fn guarded(world: &World) -> Router {
    routes().layer(layer(world)).layer(world.refresher.session_layer())
}

fn lazy(world: &World) -> Router {
    routes().layer(layer(world).lazy()).layer(world.refresher.session_layer())
}

fn request(method: Method, path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = http::get(path, None);
    *request.method_mut() = method;
    for (name, value) in headers {
        request
            .headers_mut()
            .append(name.parse::<header::HeaderName>().unwrap(), value.parse().unwrap());
    }
    request
}

pub(super) async fn navigate(app: &Router, path: &str) -> Answer {
    ask(app, request(Method::GET, path, &NAVIGATION)).await
}

#[track_caller]
pub(super) fn assert_sent_to(answer: &Answer, location: &str) {
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.header(header::LOCATION), Some(location));
    assert_eq!(answer.header(header::VARY), Some("Sec-Fetch-Mode, Sec-Fetch-Dest, Accept"));
    assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-store"));
    assert_eq!(answer.body, "");
    assert!(answer.extensions.get::<RefreshError>().is_some(), "for layers further out");
}

#[track_caller]
pub(super) fn assert_problem(answer: &Answer, code: &str) {
    assert_eq!(answer.header(header::CONTENT_TYPE), Some("application/problem+json"));
    assert_eq!(answer.header(header::LOCATION), None);
    assert_eq!(answer.json()["code"], code);
}

#[tokio::test]
async fn a_browser_that_opens_a_page_is_sent_to_log_in_and_back() {
    let world = World::on_memory();
    for app in [guarded(&world), lazy(&world)] {
        let answer = navigate(&app, "/account?tab=2&next=/x%20y").await;
        assert_sent_to(&answer, "/auth/login?return_to=%2Faccount%3Ftab%3D2%26next%3D%2Fx%2520y");
        let head = ask(&app, request(Method::HEAD, "/account", &NAVIGATION)).await;
        assert_sent_to(&head, "/auth/login?return_to=%2Faccount");
        let claims = navigate(&app, "/claims").await;
        assert_sent_to(&claims, "/auth/login?return_to=%2Fclaims");
    }
}

#[tokio::test]
async fn an_old_browser_is_known_by_what_it_accepts() {
    let world = World::on_memory();
    let app = guarded(&world);
    let navigations = [
        "text/html",
        "text/html,application/xhtml+xml,*/*;q=0.8",
        "application/xml, Text/HTML;q=0.9",
    ];
    for accept in navigations {
        let answer = ask(&app, request(Method::GET, "/", &[("accept", accept)])).await;
        assert_sent_to(&answer, "/auth/login?return_to=%2F");
    }
    for accept in ["*/*", "application/json", "text/htmlx", "text/*"] {
        let answer = ask(&app, request(Method::GET, "/", &[("accept", accept)])).await;
        assert_problem(&answer, "no_tokens");
    }
    assert_problem(&ask(&app, request(Method::GET, "/", &[])).await, "no_tokens");
}

#[tokio::test]
async fn scripts_frames_and_forms_are_answered_as_ever() {
    let world = World::on_memory();
    let html = ("accept", "text/html");
    let others: [(Method, &[(&str, &str)]); 7] = [
        (Method::GET, &[("sec-fetch-mode", "cors"), html]),
        (Method::GET, &[("sec-fetch-mode", "same-origin"), ("sec-fetch-dest", "empty"), html]),
        (Method::GET, &[("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image"), html]),
        (Method::GET, &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe"), html]),
        (Method::GET, &[("sec-fetch-site", "same-origin"), html]),
        (Method::POST, &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"), html]),
        (Method::POST, &[html]),
    ];
    for app in [guarded(&world), lazy(&world)] {
        for (method, headers) in &others {
            let answer = ask(&app, request(method.clone(), "/account", headers)).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {headers:?}");
            assert_problem(&answer, "no_tokens");
            assert!(answer.header(header::WWW_AUTHENTICATE).is_some());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_no_reason_to_log_in() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    for app in [guarded(&world), lazy(&world)] {
        world.expire();
        world.issuer.set_down(true);
        let mut request = request(Method::GET, "/account", &NAVIGATION);
        request.headers_mut().insert(header::COOKIE, http::cookie(id).parse().unwrap());
        let answer = ask(&app, request).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_problem(&answer, "unavailable");
    }
}

#[tokio::test(start_paused = true)]
async fn an_expired_login_is_sent_to_log_in() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.expire();
    world.issuer.fail_next_oauth(400, "invalid_grant");
    let mut request = request(Method::GET, "/account", &NAVIGATION);
    request.headers_mut().insert(header::COOKIE, http::cookie(id).parse().unwrap());
    let answer = ask(&guarded(&world), request).await;
    assert_sent_to(&answer, "/auth/login?return_to=%2Faccount");
    assert_eq!(answer.extensions.get::<RefreshError>().unwrap().kind(), Kind::SessionExpired);
}

fn teapot(error: &RefreshError, head: &Parts) -> Option<::http::Response<Bytes>> {
    let body = format!("{} {} {:?}", head.method, head.uri, error.kind());
    let mut answer = ::http::Response::new(Bytes::from(body));
    *answer.status_mut() = StatusCode::IM_A_TEAPOT;
    head.headers.contains_key("x-tea").then_some(answer)
}

#[tokio::test]
async fn a_hook_sees_the_error_and_the_requests_head_and_may_leave_it() {
    let world = World::on_memory();
    let layer = TokenRefreshLayer::new(&world.refresher).on_rejection(teapot);
    for layer in [layer.clone(), layer.lazy()] {
        let app = routes().layer(layer).layer(world.refresher.session_layer());
        let answer = ask(&app, request(Method::POST, "/account?a=b", &[("x-tea", "yes")])).await;
        assert_eq!(answer.status, StatusCode::IM_A_TEAPOT);
        assert_eq!(answer.body, "POST /account?a=b NoTokens");
        assert!(answer.extensions.get::<RefreshError>().is_some());
        assert_problem(&ask(&app, request(Method::POST, "/account", &[])).await, "no_tokens");
    }
}

/// The answer is the one request's; the error that its refresh failed with is everybody's.
#[tokio::test(start_paused = true)]
async fn a_hooks_answer_reaches_nobody_else_who_waited() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.expire();
    world.issuer.fail_next_oauth(400, "invalid_grant");
    let layer = TokenRefreshLayer::new(&world.refresher).on_rejection(teapot);
    let app = routes().layer(layer).layer(world.refresher.session_layer());
    let (with_tea, without) = tokio::join!(
        ask(&app, {
            let mut request = http::get("/account", Some(id));
            request.headers_mut().insert("x-tea", "yes".parse().unwrap());
            request
        }),
        ask(&app, http::get("/account", Some(id))),
    );
    assert_eq!(world.issuer.refresh_requests(), 1);
    assert_eq!(with_tea.status, StatusCode::IM_A_TEAPOT);
    assert_problem(&without, "session_expired");
}

#[tokio::test]
async fn extractors_below_a_guard_ask_the_hook_as_well() {
    let world = World::configured(|issuer| issuer.opaque_access_tokens(true), |builder| builder);
    let id = world.log_in("alice").await;
    let layer = TokenRefreshLayer::new(&world.refresher).on_rejection(teapot);
    let app = routes().layer(layer).layer(world.refresher.session_layer());
    // An opaque token has no claims: an error for whoever needs them, nobody for all others.
    for (path, body) in [("/claims", "GET /claims Misconfigured"), ("/who/claims", "nobody")] {
        let mut request = http::get(path, Some(id));
        request.headers_mut().insert("x-tea", "yes".parse().unwrap());
        assert_eq!(ask(&app, request).await.body, body);
    }
}

#[tokio::test]
async fn who_asks_for_no_more_than_an_option_is_not_rejected() {
    let world = World::on_memory();
    for path in ["/who", "/who/claims"] {
        let answer = navigate(&lazy(&world), path).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "nobody"));
    }
}

/// An outage makes nobody anonymous, and the application may have a word in that too.
#[tokio::test(start_paused = true)]
async fn an_option_that_is_rejected_asks_the_hook_as_well() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.expire();
    world.issuer.set_down(true);
    let layer = TokenRefreshLayer::new(&world.refresher).on_rejection(teapot).lazy();
    let app = routes().layer(layer).layer(world.refresher.session_layer());
    for path in ["/who", "/who/claims"] {
        let mut request = http::get(path, Some(id));
        request.headers_mut().insert("x-tea", "yes".parse().unwrap());
        assert_eq!(ask(&app, request).await.body, format!("GET {path} Unavailable"));
    }
}
