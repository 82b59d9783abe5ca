//! From an error to an HTTP answer: problem JSON (RFC 9457), the challenge (RFC 6750, section 3)
//! and `Retry-After`.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use crate::error::{Chain, RefreshError, RefreshErrorKind as Kind};

/// The answer to a request that got no token. The error itself is in the response's extensions, for
/// layers further out.
pub(crate) fn response(error: RefreshError) -> Response<Bytes> {
    let kind = error.kind();
    if matches!(kind, Kind::Misconfigured | Kind::Internal) && !error.is_logged() {
        tracing::error!(kind = kind.name(), error = %Chain(&error), "a request got no token");
    }
    let mut response = match error.answer() {
        Some(answer) => answer.clone(),
        None => problem(&error),
    };
    response.extensions_mut().insert(error);
    response
}

fn problem(error: &RefreshError) -> Response<Bytes> {
    let kind = error.kind();
    let mut response = saying(kind.status(), kind.detail(), kind.name());
    let headers = response.headers_mut();
    if let Some(challenge) = kind.challenge() {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    if let Some(after) = error.retry_after() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(after)));
    }
    response
}

/// Problem JSON that no cache keeps. `detail` is for the client, and says nothing of the inside.
pub(super) fn saying(status: StatusCode, detail: &str, code: &str) -> Response<Bytes> {
    let body = serde_json::json!({
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": detail,
        "code": code,
    });
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Rounded up: an earlier attempt would fail.
pub(crate) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

impl Kind {
    /// For the client. It says nothing about the inside of this server.
    fn detail(self) -> &'static str {
        match self {
            Self::NoTokens => "You are not logged in.",
            Self::SessionExpired => "The login has expired. Log in again.",
            Self::LoggedOut | Self::SubjectChanged => "This login has ended.",
            Self::Unavailable | Self::WaitTimeout => {
                "The login service is temporarily unavailable. Try again shortly."
            }
            Self::InvalidResponse => "The identity provider gave an unusable answer.",
            Self::Misconfigured | Self::Internal => "The server could not handle the login.",
        }
    }

    /// RFC 6750, section 3: at least one parameter, and no error code if there were no credentials
    /// (3.1).
    fn challenge(self) -> Option<&'static str> {
        match self {
            Self::NoTokens => Some("Bearer realm=\"session\""),
            Self::SessionExpired => Some(
                "Bearer realm=\"session\", error=\"invalid_token\", error_description=\"The login has expired\"",
            ),
            Self::LoggedOut | Self::SubjectChanged => Some(
                "Bearer realm=\"session\", error=\"invalid_token\", error_description=\"The login has ended\"",
            ),
            _ => None,
        }
    }
}
