//! What a request's head may be, and how long it may take.

use axum::{Router, routing::get};
use tokio::{
    io::AsyncWriteExt,
    time::{Duration, interval},
};

use crate::world::{LONG, SHORT, Serving, serving, soon};

fn app() -> Router {
    Router::new().fallback(get(async || "hello"))
}

#[tokio::test]
async fn slow_heads_are_closed_all_of_them() {
    let serving = serving(app(), |server| server.header_timeout(SHORT)).await;
    let mut clients = Vec::new();
    for _ in 0..200 {
        let mut client = serving.connect().await;
        client.send("GET / HTTP/1.1\r\nhost: te").await;
        clients.push(client);
    }
    let mut closed = 0;
    for client in &mut clients {
        assert_eq!(client.rest().await, "", "no answer");
        closed += 1;
    }
    assert_eq!(closed, 200);
    assert_eq!(serving.connect().await.get("/").await, "hello", "the others are served");
}

#[tokio::test]
async fn who_connects_and_says_nothing_is_closed() {
    let serving = serving(app(), |server| server.header_timeout(SHORT)).await;
    assert_eq!(serving.connect().await.rest().await, "");
}

#[tokio::test]
async fn a_later_head_may_not_be_slow_either() {
    let serving = serving(app(), |server| server.header_timeout(SHORT)).await;
    let mut client = serving.connect().await;
    assert_eq!(client.get("/").await, "hello");
    client.send("GET / HT").await;
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn each_byte_brings_no_more_time() {
    let serving = serving(app(), |server| server.header_timeout(SHORT)).await;
    let mut client = serving.connect().await;
    assert_eq!(client.get("/").await, "hello");
    let (mut reading, mut writing) = client.0.into_split();
    let writer = tokio::spawn(async move {
        let mut next = interval(Duration::from_millis(5));
        writing.write_all(b"GET / HTTP/1.1\r\nhost: ").await.expect("sent");
        while writing.write_all(b"x").await.is_ok() {
            next.tick().await;
        }
    });
    let mut nothing = tokio::io::sink();
    // Whether it is closed or reset depends on the byte that is under way.
    let _ = soon("the end", tokio::io::copy(&mut reading, &mut nothing)).await;
    soon("the writer's end", writer).await.unwrap();
}

#[tokio::test]
async fn a_connection_without_requests_is_closed_by_a_limit_of_its_own() {
    let serving = serving(app(), |server| server.idle_timeout(SHORT)).await;
    let mut client = serving.connect().await;
    assert_eq!(client.get("/").await, "hello");
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn the_limit_for_heads_closes_no_idle_connection() {
    let serving = serving(app(), |server| server.header_timeout(SHORT).idle_timeout(LONG)).await;
    let mut idle = serving.connect().await;
    assert_eq!(idle.get("/").await, "hello");
    // The limit passes meanwhile, as this client can tell.
    assert_eq!(serving.connect().await.rest().await, "");
    assert_eq!(idle.get("/").await, "hello");
}

async fn status_of(serving: &Serving, headers: &str) -> String {
    let mut client = serving.connect().await;
    // Not `send`: the answer may come, and the connection end, before all of it is sent.
    let head = format!("GET / HTTP/1.1\r\nconnection: close\r\n{headers}\r\n");
    let _ = client.0.write_all(head.as_bytes()).await;
    client.rest().await.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_head_has_32_kib_or_little_more() {
    let serving = serving(app(), |server| server).await;
    let header = |size: usize| format!("x-large: {}\r\n", "x".repeat(size));
    assert_eq!(status_of(&serving, &header(32_000)).await, "HTTP/1.1 200 OK");
    let refused = "HTTP/1.1 431 Request Header Fields Too Large";
    assert_eq!(status_of(&serving, &header(64 * 1024)).await, refused);
}

#[tokio::test]
async fn a_head_has_100_fields_at_most() {
    let serving = serving(app(), |server| server).await;
    let headers = |count: usize| "x-many: x\r\n".repeat(count);
    assert_eq!(status_of(&serving, &headers(99)).await, "HTTP/1.1 200 OK");
    let refused = "HTTP/1.1 431 Request Header Fields Too Large";
    assert_eq!(status_of(&serving, &headers(100)).await, refused);
}

#[tokio::test]
async fn http_2_is_refused() {
    let serving = serving(app(), |server| server).await;
    let mut client = serving.connect().await;
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    // In HTTP/2 the server's first frame, SETTINGS, would come now.
    assert_eq!(client.rest().await, "");

    let mut client = serving.connect().await;
    client.send("GET / HTTP/1.1\r\nhost: test\r\nconnection: upgrade, http2-settings\r\n").await;
    client.send("upgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n").await;
    assert_eq!(client.answer().await, "hello", "the offer is ignored");
}
