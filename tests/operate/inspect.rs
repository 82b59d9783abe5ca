//! The page for the people who run an application.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, body::to_bytes, extract::ConnectInfo};
use futures_util::StreamExt;
use http::{Request, Response, StatusCode, header};
use serde_json::{Value, json};
use support::World;
use tokio::time::timeout;
use tower::ServiceExt;
use tower_token_refresh::{operate::from_loopback, testing::Endpoint};

fn app(world: &World) -> Router {
    Router::new().nest("/ops", world.refresher.inspect(from_loopback))
}

async fn get(app: &Router, path: &str, peer: Option<&str>) -> Response<axum::body::Body> {
    get_of(app, path, peer, &["localhost:8080"]).await
}

async fn get_of(
    app: &Router,
    path: &str,
    peer: Option<&str>,
    hosts: &[&str],
) -> Response<axum::body::Body> {
    let mut request = Request::get(path).body(axum::body::Body::empty()).unwrap();
    for host in hosts {
        request.headers_mut().append(header::HOST, host.parse().unwrap());
    }
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

/// A website may let its own name lead here (DNS rebinding): the browser of somebody on this machine
/// then asks for that name.
#[tokio::test]
async fn only_who_asks_for_this_machine_by_its_own_name_sees_anything() {
    let (app, here) = (app(&World::on_swapping()), Some("127.0.0.1:4000"));
    for hosts in [
        &["evil.example"][..],
        &["evil.example:8080"],
        &["localhost.evil.example"],
        &["192.0.2.1"],
        &["localhost", "evil.example"],
        &["evil.example", "localhost"],
        &["a b"],
        &[""],
        &[],
    ] {
        for path in ["/ops", "/ops/flights", "/ops/events"] {
            let answer = get_of(&app, path, here, hosts).await;
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{path} {hosts:?}");
        }
    }
    for host in ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "127.8.8.8", "[::1]:8080"] {
        assert_eq!(get_of(&app, "/ops", here, &[host]).await.status(), StatusCode::OK, "{host}");
    }
    // As HTTP/2 has it, and a proxy's client.
    for (url, hosts, status) in [
        ("http://localhost:8080/ops", &[][..], StatusCode::OK),
        ("http://evil.example/ops", &["localhost"], StatusCode::FORBIDDEN),
        ("http://localhost/ops", &["evil.example"], StatusCode::FORBIDDEN),
    ] {
        assert_eq!(get_of(&app, url, here, hosts).await.status(), status, "{url} {hosts:?}");
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

/// The messages of a stream.
struct Events(axum::body::BodyDataStream);

impl Events {
    async fn of(world: &World) -> Self {
        let answer = get(&app(world), "/ops/events", Some("127.0.0.1:1")).await;
        Self(answer.into_body().into_data_stream())
    }

    /// None at the end.
    async fn next(&mut self) -> Option<Value> {
        let soon = timeout(Duration::from_secs(60), self.any());
        soon.await.expect("a message or the end")
    }

    async fn any(&mut self) -> Option<Value> {
        while let Some(event) = self.0.next().await {
            let event = String::from_utf8(event.unwrap().to_vec()).unwrap();
            // Now and then there is a comment, so that nobody takes the silence for the end.
            if let Some(data) = event.lines().find_map(|line| line.strip_prefix("data: ")) {
                return Some(serde_json::from_str(data).unwrap());
            }
        }
        None
    }

    async fn flights(&mut self) -> Value {
        self.next().await.expect("it goes on")["flights"].clone()
    }
}

#[tokio::test(start_paused = true)]
async fn the_stream_tells_of_each_refresh_and_not_too_often() {
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    let mut events = Events::of(&world).await;
    assert_eq!(events.flights().await["ended"], json!([]), "at once");
    let began = support::tokio_now();
    for _ in 0..10 {
        world.expire();
        world.refresher.valid_token(&world.session(id)).await.expect("a token");
    }
    let ended = events.flights().await["ended"].as_array().expect("a list").len();
    assert_eq!(ended, 10, "all of them in one");
    assert_eq!(began.elapsed(), Duration::from_millis(200));
}

/// Whoever joins a refresh changes nothing else of it.
#[tokio::test(start_paused = true)]
async fn while_there_are_refreshes_the_stream_tells_every_second_who_waits() {
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    world.expire();
    let gate = world.issuer.gate_before(Endpoint::Token);
    let asker = || {
        let (refresher, session) = (world.refresher.clone(), world.session(id));
        tokio::spawn(async move { refresher.valid_token(&session).await })
    };
    let first = asker();
    gate.reached().await;
    let mut events = Events::of(&world).await;
    assert_eq!(events.flights().await["running"][0]["waiters"], 1);
    let began = support::tokio_now();
    let second = asker();
    assert_eq!(events.flights().await["running"][0]["waiters"], 2);
    assert_eq!(began.elapsed(), Duration::from_secs(1));
    gate.open();
    assert!(first.await.unwrap().is_ok() && second.await.unwrap().is_ok());
    assert_eq!(events.flights().await["running"], json!([]));
}

/// A server that stops waits for its requests, and an open page is one.
#[tokio::test(start_paused = true)]
async fn the_stream_ends_after_half_a_minute_and_at_the_shutdown() {
    let world = World::on_swapping();
    let began = support::tokio_now();
    let mut events = Events::of(&world).await;
    assert!(events.next().await.is_some());
    assert_eq!(events.next().await, None);
    assert_eq!(began.elapsed(), Duration::from_secs(30));

    let mut events = Events::of(&world).await;
    assert!(events.next().await.is_some());
    let began = support::tokio_now();
    world.refresher.shutdown(Duration::from_secs(1)).await.expect("nothing is left");
    assert_eq!(events.next().await, None);
    assert_eq!(began.elapsed(), Duration::ZERO);

    let mut events = Events::of(&world).await;
    let seen = events.next().await.expect("what is, once more");
    assert_eq!(seen["flights"]["running"], json!([]));
    assert_eq!(events.next().await, None);
}
