//! The few pages of this application. They hold no script and no style, so the strictest policy
//! fits.

use std::{fmt::Write, time::SystemTime};

use axum::{
    extract::State,
    http::{HeaderName, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use tower_token_refresh::{
    AccessToken, Identity, LoginError, LoginErrorKind, RefreshError, StandardClaims,
};

use super::App;

/// Deliberately without `form-action`: browsers apply it also to the redirects that follow a form,
/// and log out leads to the provider and wherever that leads.
const POLICY: &str = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 4] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::CACHE_CONTROL, "no-store"),
    // With `no-referrer`, browsers send `Origin: null` with our own forms (Fetch standard).
    (header::REFERRER_POLICY, "same-origin"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
];

const LOGGED_OUT: &str = "<p>You are not logged in.</p>\n<p><a href=\"/auth/login\">Log in</a></p>";

/// `GET /`
pub(crate) async fn home(
    State(app): State<App>,
    user: Result<Option<Identity>, RefreshError>,
    token: Result<Option<AccessToken>, RefreshError>,
) -> Response {
    let user = match user {
        Ok(Some(user)) => user,
        Ok(None) => {
            return page(StatusCode::OK, "Welcome", LOGGED_OUT);
        }
        Err(error) => return failed(&error),
    };
    let token = match token {
        Ok(Some(token)) => token,
        Ok(None) => return page(StatusCode::OK, "Welcome", LOGGED_OUT),
        Err(error) => return failed(&error),
    };
    let left = token.expires_at().duration_since(app.clock.now()).unwrap_or_default();
    let text = format!(
        "<p>You are logged in as <strong id=\"name\">{}</strong>.</p>\n\
         <p>The access token expires in <span id=\"seconds\">{}</span> seconds, at <time id=\"expires\">{}</time>.</p>\n\
         <form method=\"post\" action=\"/auth/logout\"><button id=\"logout\">Log out</button></form>",
        escaped(name_of(&user)),
        left.as_secs(),
        httpdate::fmt_http_date(token.expires_at().max(SystemTime::UNIX_EPOCH)),
    );
    page(StatusCode::OK, "Welcome", &text)
}

fn name_of(user: &StandardClaims) -> &str {
    let names = [&user.preferred_username, &user.email, &user.sub];
    names.into_iter().flatten().next().map_or("somebody", String::as_str)
}

/// Nobody was logged in, or out.
pub(super) fn not_logged_in(error: &LoginError) -> Response {
    if error.kind() == LoginErrorKind::Unavailable {
        return unavailable();
    }
    sorry(error.kind().status(), "Not logged in", error.text())
}

/// A page that says what went wrong. `text` is our own, never the provider's.
pub fn sorry(status: StatusCode, title: &str, text: &str) -> Response {
    let text = format!("<p>{}</p>\n<p><a href=\"/\">Home</a></p>", escaped(text));
    page(status, title, &text)
}

pub fn failed(error: &RefreshError) -> Response {
    tracing::warn!(?error, "a request failed");
    let status = error.kind().status();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        return unavailable();
    }
    sorry(status, "Sorry", "Something went wrong. The log of this application has the details.")
}

pub fn unavailable() -> Response {
    let text = "This is not available at the moment. Please try again soon.";
    let mut response = sorry(StatusCode::SERVICE_UNAVAILABLE, "Please try again", text);
    response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("5"));
    response
}

fn page(status: StatusCode, title: &str, text: &str) -> Response {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n<h1>{title}</h1>\n{text}\n</html>\n",
        title = escaped(title)
    );
    (status, HEADERS, Html(html)).into_response()
}

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
