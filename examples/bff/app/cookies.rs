//! The names of our cookies, and what a browser demands of them.
//!
//! Over https they carry the prefix `__Host-`: the browser takes them only from this very host,
//! `Secure`, for the path `/`, and no sibling domain can plant one.

use axum::http::{HeaderMap, HeaderValue, Response, header};
use tower_token_refresh::tower_sessions::cookie::{Cookie, CookieBuilder, SameSite};

/// Which names are ours.
#[derive(Clone, Copy, Debug)]
pub struct CookieNames {
    secure: bool,
}

impl CookieNames {
    pub fn new(https: bool) -> Self {
        Self { secure: https }
    }

    pub fn secure(self) -> bool {
        self.secure
    }

    pub fn session(self) -> &'static str {
        if self.secure { "__Host-session" } else { "session" }
    }

    /// The cookie of a login attempt is named so, followed by the attempt's state.
    pub fn attempt_prefix(self) -> &'static str {
        if self.secure { "__Host-login-" } else { "login-" }
    }

    pub fn is_ours(self, name: &str) -> bool {
        name == self.session() || name.starts_with(self.attempt_prefix())
    }

    pub fn build(self, name: String, value: String) -> CookieBuilder<'static> {
        Cookie::build((name, value))
            .path("/")
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(self.secure)
    }
}

/// The cookies a browser sent, name and value.
pub fn sent(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    pairs.flat_map(|line| line.split(';')).filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        Some((name.trim(), value.trim()))
    })
}

/// tower-sessions removes its cookie without `Secure`, and a browser ignores such a line about a
/// `__Host-` name: the cookie would stay. Only lines about the session are mended.
pub fn mend_removal<B>(name: &'static str, mut response: Response<B>) -> Response<B> {
    if let header::Entry::Occupied(mut lines) = response.headers_mut().entry(header::SET_COOKIE) {
        for line in lines.iter_mut() {
            if let Some(mended) = mended(name, line) {
                *line = mended;
            }
        }
    }
    response
}

fn mended(name: &str, line: &HeaderValue) -> Option<HeaderValue> {
    let mut cookie = Cookie::parse(line.to_str().ok()?.to_owned()).ok()?;
    if cookie.name() != name || cookie.secure() == Some(true) {
        return None;
    }
    cookie.set_secure(true);
    HeaderValue::try_from(cookie.to_string()).ok()
}
