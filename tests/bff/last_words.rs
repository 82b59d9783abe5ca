//! A WebSocket whose upstream has said its last word: all of it arrives, though the browser goes on
//! sending.

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{StatusCode, header},
    response::Response,
    routing::any,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::world::{World, soon};

const WORDS: usize = 2_000_000;

/// Switches protocols, says its words, and ends its side without having listened.
async fn speak(mut request: Request) -> Response {
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut stream = TokioIo::new(upgrade.await.expect("upgraded"));
        stream.write_all(&vec![7; WORDS]).await.expect("somebody reads");
        stream.shutdown().await.expect("open");
        // Not closed before the other side has.
        let mut rest = Vec::new();
        let _its_end = stream.read_to_end(&mut rest).await;
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "websocket")
        .body(Body::empty())
        .expect("a response")
}

#[tokio::test]
async fn the_last_words_arrive_although_the_browser_goes_on_sending() {
    let upstream = Router::new().route("/live", any(speak));
    let world = World::setup().upstream(upstream).start().await;
    let browser = world.logged_in().await;
    let mut stream = TcpStream::connect(world.authority()).await.unwrap();
    let head = format!(
        "GET /api/live HTTP/1.1\r\nhost: {}\r\ncookie: session={}\r\norigin: {}\r\n\
         connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        world.authority(),
        browser.cookie("session").expect("logged in"),
        world.base
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut from, mut to) = stream.into_split();
    let chatty = tokio::spawn(async move {
        let block = vec![9; 64 * 1024];
        while to.write_all(&block).await.is_ok() {}
    });
    let mut answer = Vec::new();
    let read = async {
        let mut block = vec![0; 16 * 1024];
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(from.read_u8().await.expect("a head"));
        }
        let mut words = 0;
        loop {
            match from.read(&mut block).await {
                Ok(0) | Err(_) => return words,
                Ok(more) => words += more,
            }
        }
    };
    assert_eq!(soon("the end", read).await, WORDS, "{}", String::from_utf8_lossy(&answer));
    chatty.abort();
}
