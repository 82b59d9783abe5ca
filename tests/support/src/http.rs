//! An application in front of a world, asked in memory or over TCP.

use axum::{
    Router,
    body::{Body, to_bytes},
};
use http::{Extensions, HeaderMap, Request, StatusCode, header};
use tower::ServiceExt;
use tower_token_refresh::tower_sessions::session::Id;

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub extensions: Extensions,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("ASCII"))
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

/// A request with the session cookie of `id`.
pub fn get(path: &str, id: Option<Id>) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = path.parse().expect("a path");
    if let Some(id) = id {
        request.headers_mut().insert(header::COOKIE, cookie(id).parse().expect("ASCII"));
    }
    request
}

pub fn cookie(id: Id) -> String {
    format!("id={id}")
}

pub async fn ask(app: &Router, request: Request<Body>) -> Answer {
    let response = app.clone().oneshot(request).await.expect("a router does not fail");
    let (head, body) = response.into_parts();
    let body = to_bytes(body, 1 << 20).await.expect("the body arrives");
    Answer {
        status: head.status,
        headers: head.headers,
        extensions: head.extensions,
        body: String::from_utf8(body.to_vec()).expect("text"),
    }
}

/// Serves `app` on a free port of this machine; gives its URL.
pub async fn serve(app: Router) -> String {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}
