//! A browser's view: requests with a session cookie, and what the answers do to it.

use axum::{
    Router,
    body::Body,
    http::{Response, header},
};
use tower::ServiceExt;
use tower_sessions::session::Id;
use tower_token_refresh::tower_sessions;

/// What an answer does to the session cookie.
#[derive(Debug, PartialEq)]
pub enum Cookie {
    Untouched,
    Set(Id),
    Removed,
}

/// One GET with the cookie of session `id`.
pub async fn get(app: &Router, path: &str, id: Option<Id>) -> Response<Body> {
    let request = super::http::get(path, id);
    app.clone().oneshot(request).await.expect("infallible")
}

pub fn cookie_of(response: &Response<Body>) -> Cookie {
    let Some(cookie) = response.headers().get(header::SET_COOKIE) else {
        return Cookie::Untouched;
    };
    let cookie = cookie.to_str().expect("ASCII");
    let value = cookie
        .strip_prefix("id=")
        .expect("the session cookie")
        .split(';')
        .next()
        .unwrap_or_default();
    if cookie.contains("Max-Age=0") {
        return Cookie::Removed;
    }
    Cookie::Set(value.parse().expect("a session id"))
}
