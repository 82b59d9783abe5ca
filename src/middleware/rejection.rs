//! Answers other than problem JSON for requests that get no token.
//!
//! [`TokenRefreshLayer::on_rejection`](crate::TokenRefreshLayer::on_rejection) takes a hook. The
//! hook sees the error and the head of the request, and may answer it. [`redirect_browsers_to`]
//! makes one.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header, request::Parts,
};
use url::form_urlencoded;

use crate::{
    error::{ConfigError, RefreshError},
    return_path::safe_return_to,
};

const SEC_FETCH_MODE: &str = "sec-fetch-mode";
const SEC_FETCH_DEST: &str = "sec-fetch-dest";
const VARY: &str = "Sec-Fetch-Mode, Sec-Fetch-Dest, Accept";

type Answer = dyn Fn(&RefreshError, &Parts) -> Option<Response<Bytes>> + Send + Sync;

/// The application's hook. It is in the extensions of each request, for the extractors.
#[derive(Clone)]
pub(crate) struct Hook(Arc<Answer>);

impl Hook {
    pub(crate) fn new(
        answer: impl Fn(&RefreshError, &Parts) -> Option<Response<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(answer))
    }

    /// The error, with the application's answer to it if it has one.
    pub(crate) fn ask(&self, error: RefreshError, head: &Parts) -> RefreshError {
        match (self.0)(&error, head) {
            Some(answer) => error.with_answer(answer),
            None => error,
        }
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}

/// Redirects a browser that opens a page without being logged in to the page at `login`. Everything
/// else gets problem JSON.
///
/// ```
/// # use tower_token_refresh::{ConfigError, TokenRefresher};
/// # #[cfg(feature = "axum")]
/// # fn app(refresher: TokenRefresher) -> Result<axum::Router, ConfigError> {
/// use axum::{Router, routing::get};
/// use tower_token_refresh::{TokenRefreshLayer, rejection::redirect_browsers_to};
///
/// let log_in_first = redirect_browsers_to("/auth/login")?;
/// # Ok(
/// Router::new()
///     .route("/account", get(async || "your account"))
///     .layer(TokenRefreshLayer::new(&refresher).on_rejection(log_in_first))
///     .layer(refresher.session_layer())
/// # )
/// # }
/// ```
///
/// A GET or HEAD of `/account?tab=2` that is rejected with a 401 gets a 303 with
/// `Location: /auth/login?return_to=%2Faccount%3Ftab%3D2` if it is a top-level navigation. It is
/// one if it has `Sec-Fetch-Mode: navigate` and no other `Sec-Fetch-Dest` than `document`. An old
/// browser, which sends no `Sec-Fetch` headers, must accept `text/html` by name. A script's
/// `fetch`, a frame, a form's POST and an outage get problem JSON.
///
/// `return_to` is always a path and query of this site, and is left out where
/// [`safe_return_to`] gives none. Anybody can link to the login page with another `return_to`, so
/// the login page must ask [`safe_return_to`] again before it redirects there.
///
/// # Errors
/// [`ConfigError::Range`] if `login` is not a path: it must begin with a single `/` and have no
/// fragment, no backslash, and visible ASCII only. It may have a query.
pub fn redirect_browsers_to(
    login: impl Into<String>,
) -> Result<
    impl Fn(&RefreshError, &Parts) -> Option<Response<Bytes>> + Clone + Send + Sync + 'static,
    ConfigError,
> {
    let login = LoginPath::parse(login.into())?;
    Ok(move |error: &RefreshError, head: &Parts| {
        let to_log_in = error.kind().status() == StatusCode::UNAUTHORIZED
            && matches!(head.method, Method::GET | Method::HEAD)
            && is_navigation(&head.headers)
            // If the login page is guarded by mistake, the browser must not be sent in a circle.
            && asked_for(head).path() != login.path();
        to_log_in.then(|| login.redirect(return_path(asked_for(head)))).flatten()
    })
}

#[derive(Clone)]
struct LoginPath(String);

impl LoginPath {
    fn parse(path: String) -> Result<Self, ConfigError> {
        let own = path.starts_with('/') && !path.starts_with("//");
        let plain =
            path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#'));
        if own && plain {
            return Ok(Self(path));
        }
        Err(ConfigError::Range {
            what: "the path of the login page",
            value: format!("{path:?}"),
            rule: "it must begin with a single `/` and have no fragment, no backslash, and visible ASCII only",
        })
    }

    fn path(&self) -> &str {
        self.0.split('?').next().unwrap_or_default()
    }

    fn redirect(&self, return_to: Option<String>) -> Option<Response<Bytes>> {
        let mut location = self.0.clone();
        if let Some(return_to) = return_to {
            location.push(if location.contains('?') { '&' } else { '?' });
            location.push_str("return_to=");
            location.extend(form_urlencoded::byte_serialize(return_to.as_bytes()));
        }
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::SEE_OTHER;
        let headers = response.headers_mut();
        headers.insert(header::LOCATION, HeaderValue::try_from(location).ok()?);
        headers.insert(header::VARY, HeaderValue::from_static(VARY));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Some(response)
    }
}

/// Whether the answer would replace the page that the user sees.
fn is_navigation(headers: &HeaderMap) -> bool {
    let is_fetch_metadata = |name: &HeaderName| name.as_str().starts_with("sec-fetch-");
    if headers.keys().any(is_fetch_metadata) {
        return headers.get(SEC_FETCH_MODE).is_some_and(|mode| mode == "navigate")
            && headers.get(SEC_FETCH_DEST).is_none_or(|destination| destination == "document");
    }
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    accepted.flat_map(|accept| accept.split(',')).any(|range| {
        let media_type = range.split(';').next().unwrap_or_default();
        media_type.trim().eq_ignore_ascii_case("text/html")
    })
}

/// The URI of the browser's request: a nested axum router sees only the rest of the path.
fn asked_for(head: &Parts) -> &http::Uri {
    #[cfg(feature = "axum")]
    if let Some(axum::extract::OriginalUri(original)) = head.extensions.get() {
        return original;
    }
    &head.uri
}

fn return_path(uri: &http::Uri) -> Option<String> {
    safe_return_to(uri.path_and_query()?.as_str())
}
