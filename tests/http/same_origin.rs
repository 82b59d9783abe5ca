//! Another site can have a browser send a request, but not change anything with it.

use axum::{
    Router,
    body::Body,
    http::{Method, Request, StatusCode, header},
    routing::any,
};
use support::http::{Answer, ask};
use tower_token_refresh::{ConfigError, SameOriginLayer};

const OWN: &str = "https://shop.example.com";

fn app() -> Router {
    Router::new().route("/", any("done")).layer(SameOriginLayer::new(OWN).unwrap())
}

async fn answer(method: &Method, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri("/").header("host", "evil.example");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    ask(&app(), request.body(Body::empty()).unwrap()).await
}

async fn passes(method: &Method, headers: &[(&str, &str)]) -> bool {
    match answer(method, headers).await.status {
        StatusCode::OK => true,
        StatusCode::FORBIDDEN => false,
        other => panic!("{other}"),
    }
}

const COOKIE: (&str, &str) = ("cookie", "id=1");

fn unsafe_methods() -> Vec<Method> {
    let propfind = Method::from_bytes(b"PROPFIND").unwrap();
    vec![Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::CONNECT, propfind]
}

#[tokio::test]
async fn the_browsers_own_word_about_the_page_decides() {
    for method in unsafe_methods() {
        for (site, is_own) in [
            ("same-origin", true),
            ("none", true),
            ("same-site", false),
            ("cross-site", false),
            ("Same-Origin", false),
            ("", false),
        ] {
            let sent = [COOKIE, ("sec-fetch-site", site)];
            assert_eq!(passes(&method, &sent).await, is_own, "{method} {site:?}");
        }
        // Whatever else is sent.
        let cross = [COOKIE, ("sec-fetch-site", "cross-site"), ("origin", OWN)];
        assert!(!passes(&method, &cross).await);
        let without_cookie = [("sec-fetch-site", "cross-site")];
        assert!(!passes(&method, &without_cookie).await);
    }
}

#[tokio::test]
async fn without_it_the_origin_must_be_ours_to_the_letter() {
    for method in unsafe_methods() {
        for (origin, is_own) in [
            (OWN, true),
            ("null", false),
            ("", false),
            ("https://evil.example", false),
            ("http://shop.example.com", false),
            ("https://shop.example.com:8443", false),
            ("https://shop.example.com/", false),
            ("https://shop.example.com.evil.example", false),
            ("https://evil.shop.example.com", false),
        ] {
            let sent = [COOKIE, ("origin", origin)];
            assert_eq!(passes(&method, &sent).await, is_own, "{method} {origin:?}");
        }
    }
}

/// `Host` is the browser's idea of this server, and after DNS rebinding it is the attacker's.
#[tokio::test]
async fn an_origin_that_is_the_host_is_not_ours_for_that() {
    assert!(!passes(&Method::POST, &[COOKIE, ("origin", "https://evil.example")]).await);
}

#[tokio::test]
async fn with_neither_a_request_passes_only_without_cookies() {
    for method in unsafe_methods() {
        assert!(passes(&method, &[]).await, "{method}");
        assert!(passes(&method, &[("authorization", "Bearer x")]).await, "{method}");
        assert!(!passes(&method, &[COOKIE]).await, "{method}");
        assert!(!passes(&method, &[("cookie", "")]).await, "{method}");
    }
}

#[tokio::test]
async fn of_two_headers_both_must_be_ours() {
    let sites = [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")];
    assert!(!passes(&Method::POST, &sites).await);
    let origins = [("origin", OWN), ("origin", "https://evil.example")];
    assert!(!passes(&Method::POST, &origins).await);
}

#[tokio::test]
async fn reading_is_free() {
    for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE] {
        let sent = [COOKIE, ("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")];
        assert!(passes(&method, &sent).await, "{method}");
        assert!(passes(&method, &[COOKIE]).await, "{method}");
    }
}

#[tokio::test]
async fn another_site_cannot_open_a_web_socket() {
    let upgrade = ("upgrade", "websocket");
    assert!(passes(&Method::GET, &[COOKIE, upgrade, ("origin", OWN)]).await);
    for origin in ["https://evil.example", "null", "https://evil.shop.example.com"] {
        assert!(!passes(&Method::GET, &[COOKIE, upgrade, ("origin", origin)]).await, "{origin}");
    }
    assert!(!passes(&Method::GET, &[COOKIE, upgrade]).await, "no origin is not ours");
    let same = [COOKIE, upgrade, ("sec-fetch-site", "same-origin")];
    assert!(!passes(&Method::GET, &same).await, "the origin counts");
    let posted = [COOKIE, upgrade, ("origin", OWN), ("sec-fetch-site", "cross-site")];
    assert!(!passes(&Method::POST, &posted).await, "an upgrade makes no method safe");
}

#[tokio::test]
async fn a_refusal_is_problem_json_that_no_cache_keeps() {
    let refused = answer(&Method::POST, &[("origin", "https://evil.example")]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(refused.header(header::CONTENT_TYPE), Some("application/problem+json"));
    assert_eq!(refused.header(header::CACHE_CONTROL), Some("no-store"));
    let problem = refused.json();
    assert_eq!(problem["status"], 403);
    assert_eq!(problem["code"], "cross_site");
    assert!(!refused.body.contains("evil.example"), "nothing of the request is repeated");
}

#[test]
fn an_origin_that_no_browser_sends_is_a_wrong_setting() {
    for origin in [
        "",
        "null",
        "shop.example.com",
        "https://",
        "https://shop.example.com/",
        "https://shop.example.com/shop",
        "https://Shop.example.com",
        "https://shop.example.com:443",
        "https://user:secret@shop.example.com",
        "ftp://shop.example.com",
        "file:///etc",
        "*",
    ] {
        let error = SameOriginLayer::new(origin).expect_err(origin);
        assert!(matches!(error, ConfigError::Url { .. }), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    for origin in [OWN, "http://127.0.0.1:8080", "https://[::1]:8443", "https://xn--bcher-kva.de"] {
        SameOriginLayer::new(origin).expect(origin);
    }
}
