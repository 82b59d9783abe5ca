//! The page for the people who run an application.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, body::to_bytes, extract::ConnectInfo};
use futures_util::StreamExt;
use http::{Request, Response, StatusCode, header};
use serde_json::Value;
use support::World;
use tower::ServiceExt;
use tower_token_refresh::operate::from_loopback;

fn app(world: &World) -> Router {
    Router::new().nest("/ops", world.refresher.inspect(from_loopback))
}

async fn get(app: &Router, path: &str, peer: Option<&str>) -> Response<axum::body::Body> {
    let mut request = Request::get(path).body(axum::body::Body::empty()).unwrap();
    if let Some(peer) = peer {
        let peer: SocketAddr = peer.parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(peer));
    }
    app.clone().oneshot(request).await.unwrap()
}

async fn text(response: Response<axum::body::Body>) -> String {
    let body = to_bytes(response.into_body(), 1_000_000).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn only_whom_the_rule_allows_sees_anything() {
    let app = app(&World::on_swapping());
    for path in ["/ops", "/ops/flights", "/ops/events"] {
        for stranger in [None, Some("192.0.2.1:4000"), Some("[2001:db8::1]:4000")] {
            let answer = get(&app, path, stranger).await;
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{path} {stranger:?}");
            assert_eq!(text(answer).await, "");
        }
        for here in ["127.0.0.1:4000", "[::1]:4000", "[::ffff:127.0.0.1]:4000"] {
            let answer = get(&app, path, Some(here)).await;
            assert_eq!(answer.status(), StatusCode::OK, "{path} {here}");
            assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
        }
    }
}

#[tokio::test]
async fn the_page_runs_its_own_script_and_nothing_else() {
    let app = app(&World::on_swapping());
    let page = get(&app, "/ops", Some("127.0.0.1:1")).await;
    let policy = page.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    let page = text(page).await;
    assert!(page.contains("<title>Token refreshes</title>") && !page.contains("{script}"));
}

#[tokio::test]
async fn refreshes_are_there_as_json() {
    let world = World::on_swapping();
    let app = app(&world);
    let id = world.log_in("alice").await;
    world.expire();
    world.refresher.valid_token(&world.session(id)).await.expect("a token");
    let view = text(get(&app, "/ops/flights", Some("127.0.0.1:1")).await).await;
    let view: Value = serde_json::from_str(&view).unwrap();
    let flight = &view["flights"]["ended"][0];
    assert_eq!((&flight["outcome"], &flight["id"]), (&"refreshed".into(), &1.into()));
    assert_eq!(view["stats"]["flights"]["refreshed"], 1);
    assert_eq!(view["stats"]["served"]["from_refresh"], 1);
    assert_eq!(view["stats"]["unsaved"], 0);
}

#[tokio::test(start_paused = true)]
async fn the_stream_tells_of_each_refresh_and_not_too_often() {
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    let answer = get(&app(&world), "/ops/events", Some("127.0.0.1:1")).await;
    let mut events = answer.into_body().into_data_stream();
    let mut next = async || {
        loop {
            let event = events.next().await.expect("it goes on").unwrap();
            let event = String::from_utf8(event.to_vec()).unwrap();
            // Now and then there is a comment, so that nobody takes the silence for the end.
            if let Some(data) = event.strip_prefix("data: ") {
                let view: Value = serde_json::from_str(data.trim()).unwrap();
                return view["flights"]["ended"].as_array().expect("a list").len();
            }
        }
    };
    assert_eq!(next().await, 0, "at once");
    let began = support::tokio_now();
    for _ in 0..10 {
        world.expire();
        world.refresher.valid_token(&world.session(id)).await.expect("a token");
    }
    assert_eq!(next().await, 10, "all of them in one");
    assert_eq!(began.elapsed(), Duration::from_millis(200));
}
