//! The pages that say what went wrong, each with a way on. The words are our own, never the
//! provider's: those are for the log.

use std::time::Duration;

use axum::{
    http::{HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use tower_token_refresh::{LoginError, LoginErrorKind, RefreshError};

use super::layout::{escaped, page};

/// Where nothing says when to try again.
const SOON: Duration = Duration::from_secs(5);

/// What a page offers as the next step.
#[derive(Clone, Copy)]
enum WayOn {
    Home,
    LogInAgain,
    /// To the home page, which shows how things are now. The login would be wrong for whoever could
    /// not be logged out.
    TryAgain,
}

impl WayOn {
    fn link(self) -> &'static str {
        match self {
            Self::Home => "<a class=\"button\" href=\"/\">Home</a>",
            Self::LogInAgain => "<a class=\"button\" href=\"/auth/login\">Log in again</a>",
            Self::TryAgain => "<a class=\"button\" href=\"/\">Try again</a>",
        }
    }
}

/// Nobody was logged in, or out.
pub(crate) fn not_logged_in(error: &LoginError) -> Response {
    let way_on = match error.kind() {
        LoginErrorKind::Unavailable => return unavailable(error.retry_after()),
        // Another login would fail as well.
        LoginErrorKind::Misconfigured | LoginErrorKind::Internal => WayOn::Home,
        _ => WayOn::LogInAgain,
    };
    sorry(error.kind().status(), "Not logged in", error.text(), way_on)
}

/// Nothing is known of the user, not even whether there is one.
pub(super) fn failed(error: &RefreshError) -> Response {
    tracing::warn!(?error, "a request failed");
    let status = error.kind().status();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        return unavailable(error.retry_after());
    }
    let text = "Something went wrong. The log of this application has the details.";
    sorry(status, "Sorry", text, WayOn::Home)
}

/// What no route is for. Scripts that call the API get problem JSON (RFC 9457), as from the API's
/// other refusals.
pub(crate) async fn not_found(uri: Uri) -> Response {
    let status = StatusCode::NOT_FOUND;
    if uri.path().split('/').nth(1) == Some("api") {
        let headers = [
            (header::CONTENT_TYPE, "application/problem+json"),
            (header::CACHE_CONTROL, "no-store"),
        ];
        let problem = r#"{"title":"there is nothing at this path","status":404}"#;
        return (status, headers, problem).into_response();
    }
    sorry(status, "Nothing here", "There is no page at this address.", WayOn::Home)
}

fn unavailable(after: Option<Duration>) -> Response {
    let text = "This is not available at the moment. Please try again soon.";
    let status = StatusCode::SERVICE_UNAVAILABLE;
    try_again_in(whole_seconds(after), sorry(status, "Please try again", text, WayOn::TryAgain))
}

fn sorry(status: StatusCode, title: &str, text: &str, way_on: WayOn) -> Response {
    let content = format!("<p>{}</p>\n<p class=\"actions\">{}</p>", escaped(text), way_on.link());
    page(status, title, &content)
}

/// Rounded up: whoever comes a moment too early is sent away again.
pub(super) fn whole_seconds(after: Option<Duration>) -> u64 {
    let after = after.unwrap_or(SOON);
    (after.as_secs() + u64::from(after.subsec_nanos() > 0)).max(1)
}

pub(super) fn try_again_in(seconds: u64, mut response: Response) -> Response {
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}
