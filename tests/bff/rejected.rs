//! Whoever is not logged in: a browser that opens a page is sent to log in and comes back, all else
//! gets problem JSON.

use std::time::Duration;

use reqwest::{Method, Response, StatusCode};

use crate::{
    browser::{Browser, location},
    world::World,
};

async fn navigate(browser: &Browser, path: &str) -> Response {
    let request = browser.request(Method::GET, path);
    browser
        .send(request.header("sec-fetch-mode", "navigate").header("sec-fetch-dest", "document"))
        .await
}

fn assert_problem(response: &Response, status: StatusCode) {
    assert_eq!(response.status(), status);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
}

#[tokio::test]
async fn a_browser_that_opens_a_page_logs_in_and_comes_back_to_it() {
    let world = World::new().await;
    let browser = world.browser();
    let report = "/api/report?year=2026&month=1%2B2";
    let sent_away = navigate(&browser, report).await;
    assert_eq!(sent_away.status(), StatusCode::SEE_OTHER);
    assert_eq!(sent_away.headers()["cache-control"], "no-store");

    // A path of its own, as `Location` may be relative.
    let login = browser.get(&location(&sent_away)).await;
    assert_eq!(login.status(), StatusCode::SEE_OTHER);
    let callback = browser.visit_provider(&login).await;
    let back = browser.get(&callback).await;
    assert_eq!(location(&back), format!("{}{report}", world.base));
    assert_eq!(navigate(&browser, report).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_path_too_long_to_be_kept_leads_home() {
    let world = World::new().await;
    let browser = world.browser();
    let sent_away = navigate(&browser, &format!("/api/{}", "a".repeat(1100))).await;
    let login = browser.get(&location(&sent_away)).await;
    let callback = browser.visit_provider(&login).await;
    assert_eq!(location(&browser.get(&callback).await), format!("{}/", world.base));
}

#[tokio::test]
async fn a_script_gets_problem_json() {
    let world = World::new().await;
    let browser = world.browser();
    let plain = browser.get("/api/orders").await;
    assert!(plain.headers().contains_key("www-authenticate"));
    assert_problem(&plain, StatusCode::UNAUTHORIZED);
    let fetch = browser.request(Method::GET, "/api/orders").header("sec-fetch-mode", "cors");
    assert_problem(&browser.send(fetch).await, StatusCode::UNAUTHORIZED);
    let form = browser.request(Method::POST, "/api/orders").header("sec-fetch-mode", "navigate");
    assert_problem(&browser.send(form).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_outage_sends_nobody_to_log_in() {
    let world = World::new().await;
    let browser = world.logged_in().await;
    world.clock.advance(Duration::from_secs(300));
    world.issuer.issuer().set_down(true);
    assert_problem(&navigate(&browser, "/api/orders").await, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn the_home_page_is_for_everybody() {
    let world = World::new().await;
    let response = navigate(&world.browser(), "/").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.text().await.unwrap().contains("not logged in"));
}
