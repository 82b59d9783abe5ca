//! `STATIC_DIR`: the files of a single-page app. Its routes are made by its script, so whoever
//! opens a page that is no file gets `index.html`. A script or a picture that is missing is a 404:
//! the app's HTML would be no help there.

use std::path::Path;

use super::proxy::plain;
use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use tower::ServiceExt;
use tower_http::services::{ServeDir, ServeFile};

const INDEX: &str = "index.html";
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// What is served here is this application's own, so no file answers for them.
const OURS: [&str; 4] = ["/api", "/auth", "/healthz", "/readyz"];

/// Scripts and styles are the app's own choice; where they may lead, and who may frame it, is not.
const POLICY: &str = "base-uri 'self'; frame-ancestors 'none'; object-src 'none'";

#[derive(Clone, Debug)]
pub(super) struct Files {
    dir: ServeDir,
    index: ServeFile,
}

/// Whether there is an app in it.
pub fn has_index(dir: &Path) -> bool {
    dir.join(INDEX).is_file()
}

impl Files {
    pub(super) fn new(dir: &Path) -> Self {
        // Deliberately without redirects to directories: their pages are the script's.
        let files = ServeDir::new(dir).append_index_html_on_directories(false);
        Self { dir: files, index: ServeFile::new(dir.join(INDEX)) }
    }

    pub(super) async fn serve(self, request: Request) -> Response {
        let path = request.uri().path();
        if is_ours(path) || is_hidden(path) {
            return StatusCode::NOT_FOUND.into_response();
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")])
                .into_response();
        }
        let mut response = match path {
            "/" => self.index(request).await,
            _ => self.file(request).await,
        };
        guard(response.headers_mut());
        response
    }

    async fn file(self, request: Request) -> Response {
        let mut instead = Request::new(axum::body::Body::empty());
        *instead.method_mut() = request.method().clone();
        *instead.headers_mut() = request.headers().clone();
        let opens_a_page = opens_a_page(request.headers());
        match self.dir.clone().oneshot(request).await {
            Ok(found) if found.status() != StatusCode::NOT_FOUND => found.into_response(),
            _ if opens_a_page => self.index(instead).await,
            _ => StatusCode::NOT_FOUND.into_response(),
        }
    }

    async fn index(self, request: Request) -> Response {
        self.index.oneshot(request).await.into_response()
    }
}

fn is_ours(path: &str) -> bool {
    // As `ServeDir` finds a file.
    let path = plain(path);
    let below =
        |ours: &str| path.strip_prefix(ours).map(|rest| rest.is_empty() || rest.starts_with('/'));
    OURS.into_iter().filter_map(below).any(|is_below| is_below)
}

/// What lies in such a directory by mistake (`.git`, `.env`) is nobody's business. An escaped dot
/// is one, too, and so is one behind an escaped slash; `.well-known` is meant for others (RFC
/// 8615).
fn is_hidden(path: &str) -> bool {
    let path = path.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/");
    let path = path.replace("%5c", "/").replace('\\', "/");
    let mut segments = path.split('/').skip(1);
    segments.any(|segment| segment.starts_with('.') && segment != ".well-known")
}

/// Old browsers do not say what they do, but ask scripts and pictures for no HTML.
fn opens_a_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let takes_html = accept.is_some_and(|accept| accept.contains("text/html"));
    takes_html && headers.get(FETCH_MODE).is_none_or(|mode| mode == "navigate")
}

/// A page names the files of its own version: it is asked for anew each time, which costs a 304.
fn guard(headers: &mut HeaderMap) {
    let is_page = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|media_type| media_type.as_bytes().starts_with(b"text/html"));
    let is_unchanged = !headers.contains_key(header::CONTENT_TYPE);
    if is_page || is_unchanged {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    let lines = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in lines {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
