//! Pushed authorization requests (RFC 9126).

use std::sync::{Arc, Mutex};

use axum::{Json, Router, routing::post};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    browser::location,
    world::{World, edited_document},
};

type Pushed = Arc<Mutex<Vec<(HeaderMap, String)>>>;

/// Where requests are pushed to: takes each, and answers so.
async fn place(status: u16, answer: Value) -> (String, Pushed) {
    let pushed = Pushed::default();
    let kept = pushed.clone();
    let take = post(async move |headers: HeaderMap, form: String| {
        kept.lock().unwrap().push((headers, form));
        (StatusCode::from_u16(status).unwrap(), Json(answer))
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/par", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/par", take)).await });
    (url, pushed)
}

fn names(url: String, must: bool) -> impl FnOnce(&tower_token_refresh::testing::StrictIssuer) {
    edited_document(move |document| {
        document["pushed_authorization_request_endpoint"] = json!(url);
        document["require_pushed_authorization_requests"] = json!(must);
    })
}

#[tokio::test]
async fn a_provider_that_wants_it_gets_the_request_itself() {
    let (url, pushed) = place(201, json!({"request_uri": "urn:x:1", "expires_in": 60})).await;
    let world = World::setup().provider(names(url, true)).start().await;
    let browser = world.browser();
    let to = url::Url::parse(&location(&browser.get("/auth/login?prompt=login").await)).unwrap();
    let query: Vec<_> = to.query_pairs().into_owned().collect();
    let expected = [("client_id", "web"), ("request_uri", "urn:x:1")];
    assert_eq!(query, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));

    let pushed = pushed.lock().unwrap();
    let (headers, form) = &pushed[0];
    assert!(headers["authorization"].to_str().unwrap().starts_with("Basic "));
    for field in ["response_type=code", "client_id=web", "state=", "nonce=", "prompt=login"] {
        assert_eq!(form.matches(field).count(), 1, "{field}: {form}");
    }
    assert_eq!(pushed.len(), 1);
}

#[tokio::test]
async fn a_provider_that_offers_it_is_asked_by_the_browser_unless_the_setting_says_so() {
    let answer = || json!({"request_uri": "urn:x:1", "expires_in": 60});
    for (setting, count) in [(false, 0), (true, 1)] {
        let (url, pushed) = place(201, answer()).await;
        let world = World::setup().provider(names(url, false));
        let world = world.routes(move |routes| if setting { routes.pushed() } else { routes });
        let world = world.start().await;
        let to = location(&world.browser().get("/auth/login").await);
        assert_eq!(to.contains("request_uri=urn"), setting, "{to}");
        assert_eq!(pushed.lock().unwrap().len(), count);
    }
}

#[tokio::test]
async fn what_is_no_request_uri_begins_no_login() {
    for (status, answer, answered) in [
        (201, json!({}), 502),
        (201, json!({"request_uri": ""}), 502),
        (201, json!({"request_uri": "a".repeat(2000)}), 502),
        (400, json!({"error": "invalid_request"}), 500),
        (401, json!({"error": "invalid_client"}), 500),
        (429, json!({}), 503),
        (503, json!({}), 503),
    ] {
        let (url, _) = place(status, answer.clone()).await;
        let world = World::setup().provider(names(url, true)).start().await;
        let browser = world.browser();
        assert_eq!(browser.get("/auth/login").await.status(), answered, "{status} {answer}");
        assert_eq!(browser.cookie_names(), [""; 0]);
    }
}

#[tokio::test]
async fn a_setting_without_a_place_is_a_wrong_setting() {
    let world = World::setup().routes(|routes| routes.pushed()).start().await;
    assert_eq!(world.browser().get("/auth/login").await.status(), 500);
}
