//! Unsafe methods are for our own pages only.

use reqwest::Method;

use crate::world::{HTTPS, World};

#[tokio::test]
async fn a_request_that_changes_something_must_come_from_our_own_pages() {
    let world = World::setup().https().start().await;
    let browser = world.logged_in().await;
    // Origin, Sec-Fetch-Site, passes
    let cases = [
        (Some(HTTPS), None, true),
        (Some(HTTPS), Some("same-origin"), true),
        (None, Some("same-origin"), true),
        (None, Some("none"), true),
        // Whoever sends our cookies has to say where they come from.
        (None, None, false),
        (Some("https://evil.example"), None, false),
        (Some("https://evil.example"), Some("cross-site"), false),
        (Some("http://shop.example.test"), None, false),
        (Some("https://shop.example.test:8443"), None, false),
        (Some("https://evil.shop.example.test"), Some("same-site"), false),
        (None, Some("cross-site"), false),
        (None, Some("same-site"), false),
        (Some("null"), None, false),
    ];
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        for (origin, site, passes) in cases {
            let mut request = browser.request_of_anybody(method.clone(), "/api/orders");
            if let Some(origin) = origin {
                request = request.header("origin", origin);
            }
            if let Some(site) = site {
                request = request.header("sec-fetch-site", site);
            }
            let status = browser.send(request).await.status().as_u16();
            assert_eq!(status, if passes { 200 } else { 403 }, "{method} {origin:?} {site:?}");
        }
    }
}

#[tokio::test]
async fn another_site_cannot_log_a_user_out() {
    let world = World::new().await;
    let browser = world.logged_in().await;
    let forged = browser
        .request_of_anybody(Method::POST, "/auth/logout")
        .header("origin", "https://evil.example");
    assert_eq!(browser.send(forged).await.status(), 403);
    assert_eq!(browser.api_status().await, 200);
}

#[tokio::test]
async fn whoever_sends_no_cookies_may_call_without_an_origin() {
    let world = World::new().await;
    let stranger = world.browser().request_of_anybody(Method::POST, "/api/orders");
    assert_eq!(stranger.send().await.unwrap().status(), 401, "not logged in, and no forgery");
}

#[tokio::test]
async fn another_site_cannot_open_a_web_socket() {
    let world = World::new().await;
    let browser = world.logged_in().await;
    for (origin, status) in [("https://evil.example", 403), (world.base.as_str(), 501)] {
        let request = browser.request(Method::GET, "/api/live").header("origin", origin);
        let request = request.header("upgrade", "websocket").header("connection", "upgrade");
        assert_eq!(browser.send(request).await.status(), status, "{origin}");
    }
}

#[tokio::test]
async fn reading_is_free() {
    let world = World::new().await;
    let browser = world.logged_in().await;
    let request = browser
        .request_of_anybody(Method::GET, "/api/orders")
        .header("sec-fetch-site", "cross-site");
    assert_eq!(browser.send(request).await.status(), 200);
}
