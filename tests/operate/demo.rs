//! The routes of the page that `cargo run --example demo` serves, without a browser.

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use support::demo::Demo;

#[tokio::test]
async fn the_demo_serves_a_page_and_runs_what_that_asks_for() {
    let demo = Demo::start().await;
    assert!(demo.printed.contains("still logged in afterwards  no                        yes"));
    let client = Client::new();
    let run = async |body: &Value, site: &str| {
        let request = client.post(format!("{}/run", demo.url)).header("sec-fetch-site", site);
        request.json(body).send().await.unwrap().status()
    };

    let page = client.get(&demo.url).send().await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("script-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    let page = page.text().await.unwrap();
    assert!(!page.contains("{script}") && !page.contains("https://"), "nothing from elsewhere");

    assert_eq!(run(&json!({ "requests": 1 }), "cross-site").await, StatusCode::FORBIDDEN);
    for requests in [0, 1_001] {
        let status = run(&json!({ "requests": requests }), "same-origin").await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{requests}");
    }
    let unknown = run(&json!({ "requests": 1, "fast": true }), "same-origin").await;
    assert_eq!(unknown, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(run(&json!({ "requests": 9 }), "same-origin").await, StatusCode::ACCEPTED);
    assert_eq!(run(&json!({ "requests": 9 }), "same-origin").await, StatusCode::CONFLICT);

    let over = over(&client, &demo.url).await;
    assert_eq!(over["error"], Value::Null);
    for (way, posts, logged_in) in [("ours", 1, true), ("naive", 9, false)] {
        assert_eq!(over[way]["posts"].as_array().unwrap().len(), posts, "{way}");
        assert_eq!(over[way]["provider"]["token_requests"], posts, "{way}");
        assert_eq!(over[way]["provider"]["refreshes"], 1, "{way}");
        assert_eq!(over[way]["logged_in"], logged_in, "{way}");
    }
}

/// The last message of the run, by a stream of them.
async fn over(client: &Client, url: &str) -> Value {
    let mut events = client.get(format!("{url}/events")).send().await.unwrap();
    let mut text = String::new();
    loop {
        text.push_str(std::str::from_utf8(&events.chunk().await.unwrap().unwrap()).unwrap());
        while let Some((event, rest)) = text.split_once("\n\n") {
            let event = event.strip_prefix("data: ").unwrap_or("{}");
            let board: Value = serde_json::from_str(event).unwrap();
            if board["running"] == false {
                return board;
            }
            text = rest.to_owned();
        }
    }
}
