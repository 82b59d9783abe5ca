//! Requests that the upstream might read in another way than we do, and answers with two readings.

use reqwest::Method;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    browser::Browser,
    world::{World, soon},
};

/// Clients tidy requests up before they send them, so these tests write their own.
struct Raw {
    world: World,
    browser: Browser,
}

impl Raw {
    async fn new() -> Self {
        let world = World::setup().upstream_path("/v1").start().await;
        let browser = world.logged_in().await;
        Self { world, browser }
    }

    /// The status of the answer to these lines, the session's cookie added.
    async fn status(&self, lines: &[&str], body: &str) -> u16 {
        let session = self.browser.cookie("session").expect("logged in");
        let origin = &self.world.base;
        let request = format!(
            "{}\r\ncookie: session={session}\r\norigin: {origin}\r\nconnection: close\r\n\r\n{body}",
            lines.join("\r\n")
        );
        let mut stream = TcpStream::connect(self.world.authority()).await.expect("it listens");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        soon("an answer", stream.read_to_end(&mut answer)).await.expect("read");
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.unwrap_or_else(|| panic!("{answer}"))
    }

    async fn get(&self, path: &str) -> u16 {
        self.status(&[&format!("GET {path} HTTP/1.1"), "host: app"], "").await
    }
}

#[tokio::test]
async fn a_path_that_leads_upwards_is_refused() {
    let raw = Raw::new().await;
    for path in [
        "/api/../admin",
        "/api/..",
        "/api/a/../../admin",
        "/api/./a",
        "/api/%2e%2e/admin",
        "/api/%2E%2e/admin",
        "/api/.%2e/admin",
        "/api/%2e/admin",
        "/api/..;/admin",
        "/api/..;a=b/admin",
        "/api/%2e%2e%3b/admin",
        "/api/a/..",
    ] {
        assert_eq!(raw.get(path).await, 400, "{path}");
    }
    for path in ["/api/...", "/api/a..b", "/api/%2e%2ea", "/api/a;..", "/api/a//b", "/api/%20"] {
        assert_eq!(raw.get(path).await, 200, "{path}");
    }
    // The target of an absolute form names a host; ours stays the upstream.
    assert_eq!(raw.get("http://evil.example/api/a").await, 200);
}

#[tokio::test]
async fn a_path_with_two_readings_is_refused() {
    let raw = Raw::new().await;
    for path in [
        // A host, to some.
        "/api//evil.example/a",
        // The end of a string, or of a line.
        "/api/a%00.txt",
        "/api/a%0d%0ab",
        "/api/a%1F",
        "/api/a%7f",
        // Slashes, to some.
        "/api/a%2fb",
        "/api/a%2Fb",
        "/api/a%5cb",
        "/api/a%5C..%5Cadmin",
        "/api/..%2fadmin",
        "/api/a\\b",
        // To whoever decodes twice, or more often.
        "/api/%252e%252e/admin",
        "/api/a%252e",
        "/api/a%252Fb",
        "/api/a%255cb",
        "/api/a%2500",
        "/api/a%25252e",
        // No escape, to us.
        "/api/a%zz",
        "/api/a%",
        "/api/%u002e%u002e/admin",
    ] {
        assert_eq!(raw.get(path).await, 400, "{path}");
    }
    for path in ["/api/100%25", "/api/a%2520b", "/api/%25zz", "/api/a:b@c,d;e=f"] {
        assert_eq!(raw.get(path).await, 200, "{path}");
    }
}

#[tokio::test]
async fn only_the_methods_of_pages_are_passed_on() {
    let raw = Raw::new().await;
    for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        let request = raw.browser.request(method.clone(), "/api/orders").body("hello");
        let echoed: Value = raw.browser.send(request).await.json().await.unwrap();
        let expected = (&method.as_str().into(), &"hello".into());
        assert_eq!((&echoed["method"], &echoed["body"]), expected);
    }
    for method in [Method::HEAD, Method::OPTIONS] {
        let request = raw.browser.request(method, "/api/orders");
        assert_eq!(raw.browser.send(request).await.status(), 200);
    }
    // The answer to TRACE would show the token.
    for method in ["TRACE", "PURGE", "PROPFIND", "get", "TRACK"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = raw.browser.request(method.clone(), "/api/orders");
        let refused = raw.browser.send(request).await;
        assert_eq!(refused.status(), 405, "{method}");
        let allowed = refused.headers()["allow"].to_str().unwrap();
        assert_eq!(allowed, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    }
}

#[tokio::test]
async fn a_request_has_one_host() {
    let raw = Raw::new().await;
    let get = "GET /api/orders HTTP/1.1";
    assert_eq!(raw.status(&[get, "host: app"], "").await, 200);
    assert_eq!(raw.status(&[get], "").await, 400, "none");
    assert_eq!(raw.status(&[get, "host: app", "host: evil.example"], "").await, 400, "two");
    assert_eq!(raw.status(&[get, "host: app", "Host: app"], "").await, 400, "one twice");
}

/// hyper answers a coding that does not end in `chunked` itself, with a 400. One that does gets
/// here with `chunked` alone taken off.
#[tokio::test]
async fn a_transfer_coding_that_we_do_not_know_is_a_501() {
    let raw = Raw::new().await;
    let post = ["POST /api/orders HTTP/1.1", "host: app"];
    let chunks = "5\r\nhello\r\n0\r\n\r\n";
    let with = |coding: &'static [&'static str]| [&post[..], coding].concat();
    assert_eq!(raw.status(&with(&["transfer-encoding: chunked"]), chunks).await, 200);
    assert_eq!(raw.status(&with(&["transfer-encoding: gzip, chunked"]), chunks).await, 501);
    let in_two_lines = with(&["transfer-encoding: gzip", "transfer-encoding: chunked"]);
    assert_eq!(raw.status(&in_two_lines, chunks).await, 501);
    assert_eq!(raw.status(&with(&["transfer-encoding: gzip"]), chunks).await, 400, "hyper's own");
}

#[tokio::test]
async fn of_upgrades_only_a_web_sockets_is_passed_on() {
    let raw = Raw::new().await;
    let key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
    let asked = ["GET /api/live HTTP/1.1", "host: app"];
    for lines in [
        // Not without `Connection: upgrade`.
        &["upgrade: websocket", key][..],
        &["connection: upgrade", "upgrade: h2c", key],
        &["connection: upgrade", "upgrade: h2c, websocket", key],
        &["connection: upgrade", "upgrade: h2c", "upgrade: websocket", key],
        &["connection: upgrade", "upgrade: websocket"],
    ] {
        assert_eq!(raw.status(&[&asked[..], lines].concat(), "").await, 501, "{lines:?}");
    }
    let with_body = ["connection: upgrade", "upgrade: websocket", key, "content-length: 5"];
    assert_eq!(raw.status(&[&asked[..], &with_body].concat(), "hello").await, 501);
    let posted = ["POST /api/live HTTP/1.1", "host: app", "connection: upgrade"];
    let posted = [&posted[..], &["upgrade: websocket", key]].concat();
    assert_eq!(raw.status(&posted, "").await, 501);
}

/// An upstream that answers everything with these bytes.
async fn saying(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.expect("a head"));
            }
            stream.write_all(answer.as_bytes()).await.expect("sent");
        }
    });
    url
}

#[tokio::test]
async fn an_answer_with_two_lengths_is_a_502() {
    for (head, status) in [
        ("content-length: 5\r\n", 200),
        ("transfer-encoding: chunked\r\n", 200),
        ("content-length: 5\r\ntransfer-encoding: chunked\r\n", 502),
        ("transfer-encoding: chunked\r\ncontent-length: 5\r\n", 502),
        ("content-length: 5\r\ncontent-length: 6\r\n", 502),
    ] {
        let body = if status == 200 && head.starts_with("content") { "hello" } else { "0\r\n\r\n" };
        let answer = format!("HTTP/1.1 200 OK\r\n{head}connection: close\r\n\r\n{body}").leak();
        let world = World::setup().upstream_at(saying(answer).await).start().await;
        let browser = world.logged_in().await;
        assert_eq!(soon("an answer", browser.get("/api/orders")).await.status(), status, "{head}");
    }
}

#[tokio::test]
async fn an_upstream_that_switches_to_what_nobody_asked_for_is_a_502() {
    let answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n";
    let world = World::setup().upstream_at(saying(answer).await).start().await;
    let raw = Raw { browser: world.logged_in().await, world };
    assert_eq!(raw.get("/api/live").await, 502, "nothing was asked for");
    let asked = ["GET /api/live HTTP/1.1", "host: app", "connection: upgrade"];
    let asked = [&asked[..], &["upgrade: websocket", "sec-websocket-key: x"]].concat();
    assert_eq!(raw.status(&asked, "").await, 502, "a WebSocket was");
}
