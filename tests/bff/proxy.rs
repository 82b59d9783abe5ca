//! What is passed on: paths, queries, bodies as they come, answers as they are.

use std::convert::Infallible;

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    http::StatusCode,
    routing::{any, get, post},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use reqwest::Method;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::{
    browser::location,
    world::{World, soon},
};

#[tokio::test]
async fn a_path_goes_below_the_upstreams_own_and_the_query_stays() {
    for (upstream_path, asked, target) in [
        ("/v1", "/api/orders?x=1&y=%20", "/v1/orders?x=1&y=%20"),
        ("/v1/", "/api/orders/7", "/v1/orders/7"),
        ("", "/api/orders?", "/orders?"),
        ("", "/api/", "/"),
        ("/v1", "/api/a%20b/..c/.d/e.", "/v1/a%20b/..c/.d/e."),
        ("", "/api/a//double", "/a//double"),
        ("", "/api/q?up=/../..", "/q?up=/../.."),
    ] {
        let world = World::setup().upstream_path(upstream_path).start().await;
        let browser = world.logged_in().await;
        let echoed: Value = browser.get(asked).await.json().await.unwrap();
        assert_eq!(echoed["target"], target, "{asked}");
    }
}

#[tokio::test]
async fn an_answer_is_streamed() {
    let (more, chunks) = mpsc::channel::<Bytes>(1);
    let chunks = std::sync::Mutex::new(Some(chunks));
    let handler = async move || {
        let mut chunks = chunks.lock().unwrap().take().expect("asked once");
        Body::from_stream(stream::poll_fn(move |context| {
            chunks.poll_recv(context).map(|chunk| chunk.map(Ok::<_, Infallible>))
        }))
    };
    let handler = std::sync::Arc::new(handler);
    let route = get(move || {
        let handler = handler.clone();
        async move { handler().await }
    });
    let world = World::setup().upstream(Router::new().route("/live", route)).start().await;
    let browser = world.logged_in().await;

    more.send("first".into()).await.unwrap();
    let response = soon("the head", browser.get("/api/live")).await;
    let mut body = response.bytes_stream();
    assert_eq!(soon("the first chunk", body.next()).await.unwrap().unwrap(), "first");
    // The upstream has not sent more, for it has not been given more.
    more.send("second".into()).await.unwrap();
    drop(more);
    assert_eq!(soon("the second chunk", body.next()).await.unwrap().unwrap(), "second");
    assert!(soon("the end", body.next()).await.is_none());
}

#[tokio::test]
async fn a_request_is_streamed() {
    let (seen, mut arrived) = mpsc::channel::<Bytes>(1);
    let handler = move |request: Request| {
        let seen = seen.clone();
        async move {
            let mut body = request.into_body().into_data_stream();
            while let Some(chunk) = body.next().await {
                seen.send(chunk.expect("a chunk")).await.expect("the test looks");
            }
        }
    };
    let world =
        World::setup().upstream(Router::new().route("/upload", post(handler))).start().await;
    let browser = world.logged_in().await;

    let (more, mut chunks) = mpsc::channel::<Bytes>(1);
    let body = stream::poll_fn(move |context| {
        chunks.poll_recv(context).map(|chunk| chunk.map(Ok::<_, Infallible>))
    });
    let request =
        browser.request(Method::POST, "/api/upload").body(reqwest::Body::wrap_stream(body));
    let upload = tokio::spawn(request.send());
    more.send("first".into()).await.unwrap();
    assert_eq!(soon("the first chunk", arrived.recv()).await.unwrap(), "first");
    more.send("second".into()).await.unwrap();
    assert_eq!(soon("the second chunk", arrived.recv()).await.unwrap(), "second");
    drop(more);
    assert_eq!(soon("the answer", upload).await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn answers_come_back_as_they_are_and_redirects_are_the_browsers() {
    let upstream = Router::new()
        .route("/moved", any(async || (StatusCode::FOUND, [("location", "/elsewhere")])))
        .route("/elsewhere", get(async || "followed"))
        .route("/teapot", get(async || (StatusCode::IM_A_TEAPOT, [("x-kind", "brown")], "short")));
    let world = World::setup().upstream(upstream).start().await;
    let browser = world.logged_in().await;

    let moved = browser.get("/api/moved").await;
    let elsewhere = format!("{}/api/elsewhere", world.base);
    assert_eq!((moved.status().as_u16(), location(&moved)), (302, elsewhere));
    let teapot = browser.get("/api/teapot").await;
    assert_eq!(
        (teapot.status().as_u16(), &teapot.headers()["x-kind"]),
        (418, &"brown".parse().unwrap())
    );
    assert_eq!(teapot.text().await.unwrap(), "short");
}

#[tokio::test]
async fn a_large_body_arrives_whole() {
    let upstream = Router::new().route(
        "/length",
        post(async |body: Body| {
            to_bytes(body, usize::MAX).await.expect("it arrives").len().to_string()
        }),
    );
    let world = World::setup().upstream(upstream).start().await;
    let browser = world.logged_in().await;
    let size = 10 * 1024 * 1024;
    let response =
        browser.send(browser.request(Method::POST, "/api/length").body(vec![7; size])).await;
    assert_eq!(response.text().await.unwrap(), size.to_string());
}
