//! WebSockets: the connection becomes the handler's.

use axum::{
    Router,
    extract::ws::{WebSocket, WebSocketUpgrade},
    response::Response,
    routing::get,
};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use crate::world::{SHORT, Serving, serving, soon};

fn app() -> Router {
    Router::new().route("/ws", get(echo)).fallback(get(async || "hello"))
}

async fn echo(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket: WebSocket| {
        while let Some(Ok(message)) = socket.recv().await {
            if socket.send(message).await.is_err() {
                break;
            }
        }
    })
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn open(serving: &Serving) -> Socket {
    let url = format!("ws://{}/ws", serving.address);
    soon("the upgrade", connect_async(url)).await.expect("upgraded").0
}

async fn assert_echoes(socket: &mut Socket) {
    socket.send(Message::text("hello")).await.expect("sent");
    let echoed = soon("the echo", socket.next()).await.expect("open").expect("a message");
    assert_eq!(echoed, Message::text("hello"));
}

#[tokio::test]
async fn a_web_socket_works_beyond_the_limits_of_requests() {
    let serving = serving(app(), |server| server.header_timeout(SHORT).idle_timeout(SHORT)).await;
    let mut socket = open(&serving).await;
    assert_echoes(&mut socket).await;
    // The limits pass meanwhile, as this client can tell.
    serving.connect().await.rest().await;
    assert_echoes(&mut socket).await;
}

#[tokio::test]
async fn a_web_socket_counts_as_a_connection_until_it_is_closed() {
    let serving = serving(app(), |server| server.max_connections(1)).await;
    let mut socket = open(&serving).await;
    let mut next = serving.connect().await;
    next.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n").await;
    for _ in 0..50 {
        assert_echoes(&mut socket).await;
    }
    assert!(next.waits(), "the socket is the one connection");
    drop(socket);
    assert_eq!(next.answer().await, "hello");
}

#[tokio::test]
async fn stopping_does_not_wait_for_a_web_socket() {
    let serving = serving(app(), |server| server).await;
    let mut socket = open(&serving).await;
    assert_echoes(&mut socket).await;
    soon("the end", serving.stop()).await.unwrap();
    assert_echoes(&mut socket).await;
}
