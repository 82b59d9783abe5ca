//! The frame of every page: its headers, its style and its script.
//!
//! Style and script stand in the page, so a page has its colours before anything is drawn: no white
//! flash in dark mode. The policy names both by their hashes (Content Security Policy Level 3,
//! section 2.3.1). All else that is written inline does nothing, whoever has written it.

use std::{fmt::Write, sync::LazyLock};

use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Deliberately without `form-action`: browsers apply it also to the redirects that follow a form,
/// and log out leads to the provider and wherever that leads.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let policy = format!(
        "default-src 'none'; style-src {}; script-src {}; connect-src 'self'; base-uri 'none'; \
         frame-ancestors 'none'",
        source(STYLE),
        source(SCRIPT)
    );
    HeaderValue::try_from(policy).expect("hashes are ASCII")
});

/// What allows exactly this text.
fn source(text: &str) -> String {
    format!("'sha256-{}'", BASE64_STANDARD.encode(digest(&SHA256, text.as_bytes())))
}

/// A page. `content` is HTML: what comes from outside has been [`escaped`].
pub(super) fn page(status: StatusCode, title: &str, content: &str) -> Response {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n\
         <body>\n<main>\n<h1>{title}</h1>\n{content}\n</main>\n\
         <script>{SCRIPT}</script>\n</body>\n</html>\n",
        title = escaped(title)
    );
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY.clone()),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // With `no-referrer`, browsers send `Origin: null` with our own forms (Fetch standard).
        (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (status, headers, Html(html)).into_response()
}

/// The text, safe in HTML: between tags, and in an attribute with quotes.
pub fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut safe, c| {
        match c {
            '<' | '>' | '&' | '"' | '\'' => {
                // Writing to a string does not fail.
                let _ = write!(safe, "&#{};", u32::from(c));
            }
            _ => safe.push(c),
        }
        safe
    })
}
