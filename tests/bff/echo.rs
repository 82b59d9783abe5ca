//! An API with a WebSocket.

use axum::{
    Router,
    extract::{
        WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::{HeaderMap, header},
    routing::any,
};
use tokio::sync::mpsc;

/// [`serve`] at `/live`, and a word to `tell` whenever one ends.
pub fn router(tell: mpsc::UnboundedSender<()>) -> Router {
    let live = any(move |headers: HeaderMap, upgrade: WebSocketUpgrade| {
        let tell = tell.clone();
        async move {
            upgrade.on_upgrade(move |socket| async move {
                serve(socket, headers).await;
                tell.send(()).expect("the test looks");
            })
        }
    });
    Router::new().route("/live", live)
}

/// Says what the handshake had, then echoes.
pub async fn serve(mut socket: WebSocket, headers: HeaderMap) {
    for name in [header::AUTHORIZATION, header::COOKIE] {
        let value = headers.get(name).map_or("none", |value| value.to_str().expect("ASCII"));
        if socket.send(Message::Text(value.into())).await.is_err() {
            return;
        }
    }
    while let Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) = socket.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}
