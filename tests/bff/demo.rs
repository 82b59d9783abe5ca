//! The demo: nothing to set, a refresh to see, and routes that are nowhere else.

use std::future;

use serde_json::{Value, json};
use support::bff::{Running, build};
use tokio::task::spawn_blocking;

use crate::{
    app::{self, demo::Demo, proxy::Limits},
    browser::Browser,
    world::{World, soon},
};

/// A browser before a demo that serves until the test ends.
async fn visitor() -> Browser {
    let demo = Demo::start().await.expect("free ports");
    let (app, _) = app::start_demo(&demo).await.expect("it starts");
    let url = demo.url.clone();
    tokio::spawn(async move {
        let (server, _, _provider) = demo.server();
        app::serve(server, app, Limits::default(), future::pending()).await;
    });
    Browser::new(&url, &url)
}

async fn json_of(browser: &Browser, path: &str) -> Value {
    let answer = browser.get(path).await;
    assert_eq!(answer.status(), 200, "{path}");
    assert_eq!(answer.headers()["cache-control"], "no-store", "{path}");
    answer.json().await.expect("JSON")
}

#[tokio::test]
async fn a_visitor_lets_the_token_expire_and_sees_the_refresh() {
    let browser = visitor().await;
    browser.log_in().await;
    let left = json_of(&browser, "/auth/me").await["expires_in"].as_u64().expect("seconds");
    assert!((31..=60).contains(&left), "{left}");
    assert_eq!(browser.api_status().await, 200);
    assert_eq!(
        json_of(&browser, "/demo/stats").await,
        json!({ "refreshes": 0, "token_requests": 1 })
    );

    for refreshes in 1..=3 {
        assert_eq!(browser.post("/demo/expire").await.status(), 204);
        assert_eq!(json_of(&browser, "/demo/stats").await["refreshes"], refreshes - 1, "not yet");
        assert_eq!(browser.api_status().await, 200);
        let stats = json!({ "refreshes": refreshes, "token_requests": refreshes + 1 });
        assert_eq!(json_of(&browser, "/demo/stats").await, stats);
    }
}

#[tokio::test]
async fn only_a_page_of_its_own_with_a_login_can_let_time_pass() {
    let browser = visitor().await;
    assert_eq!(browser.post("/demo/expire").await.status(), 401);
    browser.log_in().await;
    let forged = browser.request_of_anybody(reqwest::Method::POST, "/demo/expire");
    let forged = forged.header("origin", "https://evil.example");
    assert_eq!(browser.send(forged).await.status(), 403);
    assert_eq!(browser.get("/demo/expire").await.status(), 405);
}

#[tokio::test]
async fn nowhere_else_are_there_such_routes() {
    let world = World::new().await;
    let browser = world.logged_in().await;
    assert_eq!(browser.get("/demo/stats").await.status(), 404);
    assert_eq!(browser.post("/demo/expire").await.status(), 404);
}

#[tokio::test]
async fn the_program_prints_its_url_and_needs_no_settings() {
    let program = spawn_blocking(|| build(&[])).await.expect("it builds");
    let running = soon("it serves", Running::demo(&program)).await;
    let browser = Browser::new(&running.url, &running.url);
    browser.log_in().await;
    assert_eq!(browser.api_status().await, 200);
}
