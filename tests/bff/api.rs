//! The API behind the example as a process.

use axum::{
    Router,
    http::{HeaderMap, header},
    routing::get,
};
use tokio::net::TcpListener;

/// Answers `GET /orders` with the token that it was called with, and everything else as `more`
/// does; gives its URL.
pub async fn serve(more: Router) -> String {
    let orders = async |headers: HeaderMap| {
        let bearer = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        bearer.expect("a bearer token").to_owned()
    };
    let api = more.route("/orders", get(orders));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, api).await });
    url
}
