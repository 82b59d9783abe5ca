//! [`LoginError`]: why nobody was logged in, and what the browser sees.

use std::{borrow::Cow, error::Error, fmt, sync::Arc, time::Duration};

use axum::{
    body::Body,
    response::{Html, IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::{
    endpoint::{EndpointError, EndpointErrorKind, VerifyError},
    error::{Chain, RefreshError, RefreshErrorKind},
    middleware::whole_seconds,
};

/// Deliberately without `form-action`: browsers apply it also to the redirects that follow a form.
const POLICY: &str = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 3] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
];

/// Why nobody was logged in, or out. For
/// [`LoginRoutes::on_failure`](crate::LoginRoutes::on_failure). It holds no token, code or state;
/// its sources may be errors of your own [`user_info`](crate::LoginRoutes::user_info).
#[derive(Debug, Clone)]
pub struct LoginError {
    kind: LoginErrorKind,
    message: Cow<'static, str>,
    code: Option<&'static str>,
    retry_after: Option<Duration>,
    /// The code has certainly not been used: the same callback may succeed.
    may_try_again: bool,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// What kind of failure it is, and the status of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LoginErrorKind {
    /// The request is not a valid link to the login, or not a valid answer of the provider. 400
    InvalidRequest,
    /// This browser has not begun the login that the answer is for, or more than ten minutes ago,
    /// or the answer was used before. 400
    UnknownAttempt,
    /// The provider did not log the user in: see [`LoginError::code`]. 403
    Denied,
    /// The provider or a store cannot be reached, or wants to be asked later. 503
    Unavailable,
    /// The provider gave an answer that cannot be used, such as a wrong ID token. 502
    InvalidResponse,
    /// The provider refuses this application, or its settings are wrong. 500
    Misconfigured,
    /// A task panicked, or the login under way could not be sealed. 500
    Internal,
}

impl LoginErrorKind {
    /// The status of the answer.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest | Self::UnknownAttempt => StatusCode::BAD_REQUEST,
            Self::Denied => StatusCode::FORBIDDEN,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::InvalidResponse => StatusCode::BAD_GATEWAY,
            Self::Misconfigured | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// For the user. It says nothing about the inside of this server.
    fn text(self) -> &'static str {
        match self {
            Self::InvalidRequest => "This link is not valid.",
            Self::UnknownAttempt => {
                "This login was not started in this browser, was used before, or took more than ten minutes."
            }
            Self::Denied => "The login was refused or cancelled.",
            Self::Unavailable => "The login service cannot be reached at the moment.",
            Self::InvalidResponse => "The login service gave an answer that cannot be used.",
            Self::Misconfigured | Self::Internal => "Something is wrong with this application.",
        }
    }
}

impl LoginError {
    pub(super) fn new(kind: LoginErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            message: message.into(),
            code: None,
            retry_after: None,
            may_try_again: false,
            source: None,
        }
    }

    pub(super) fn with_code(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    pub(super) fn with_source(self, source: impl Error + Send + Sync + 'static) -> Self {
        Self { source: Some(Arc::new(source)), ..self }
    }

    pub(super) fn with_boxed_source(self, source: tower::BoxError) -> Self {
        Self { source: Some(Arc::from(source)), ..self }
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> LoginErrorKind {
        self.kind
    }

    /// The error code that the provider gave, if it is a registered one: `login_required` after
    /// `prompt=none`, `access_denied` (RFC 6749, section 4.1.2.1; OpenID Connect Core 1.0, section
    /// 3.1.2.6).
    #[must_use]
    pub fn code(&self) -> Option<&'static str> {
        self.code
    }

    /// When the user may try again, if that is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// What to tell the user, in one English sentence. The error itself (`Display` and its sources)
    /// is for the log.
    #[must_use]
    pub fn text(&self) -> &'static str {
        self.kind.text()
    }

    pub(super) fn may_try_again(&self) -> bool {
        self.may_try_again
    }

    pub(super) fn log(&self) {
        const WHAT: &str = "a login or a logout failed";
        let (error, kind) = (Chain(self), self.kind);
        match kind {
            LoginErrorKind::InvalidRequest
            | LoginErrorKind::UnknownAttempt
            | LoginErrorKind::Denied => tracing::info!(%error, ?kind, "{WHAT}"),
            LoginErrorKind::Unavailable => tracing::warn!(%error, ?kind, "{WHAT}"),
            // Anybody can make the provider say so, by a link.
            _ if self.code.is_some() => tracing::warn!(%error, ?kind, "{WHAT}"),
            _ => tracing::error!(%error, ?kind, "{WHAT}"),
        }
    }

    /// A page without style or script.
    pub(super) fn page(&self, log_in: &str) -> Response {
        let (text, status) = (self.text(), self.kind.status());
        let body = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><meta name=\"viewport\" \
             content=\"width=device-width\"><meta name=\"color-scheme\" content=\"light dark\">\
             <title>Not logged in</title></head>\n<body><main><h1>Not logged in</h1>\n<p>{text}</p>\n\
             <p><a href=\"{log_in}\">Log in again</a></p></main></body>\n</html>\n"
        );
        (status, Html(body)).into_response()
    }
}

/// What axum says of it is for nobody.
pub(super) type NoSession = (StatusCode, &'static str);

pub(super) fn no_session_layer() -> LoginError {
    let why = "the login routes have no session layer: add `.layer(refresher.session_layer())` below \
               the line that merges them";
    LoginError::new(LoginErrorKind::Misconfigured, why)
}

/// The answers of these routes are for one browser, once.
pub(super) fn with_security_headers(
    mut response: Response<Body>,
    retry_after: Option<Duration>,
) -> Response {
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    // Whatever the application wants for its pages: the address of a callback holds the code.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if let Some(after) = retry_after {
        headers.entry(header::RETRY_AFTER).or_insert(HeaderValue::from(whole_seconds(after)));
    }
    response
}

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for LoginError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<RefreshError> for LoginError {
    fn from(error: RefreshError) -> Self {
        let kind = match error.kind() {
            // Only where a login ends as it is made.
            RefreshErrorKind::NoTokens
            | RefreshErrorKind::SessionExpired
            | RefreshErrorKind::LoggedOut
            | RefreshErrorKind::SubjectChanged => LoginErrorKind::UnknownAttempt,
            RefreshErrorKind::Unavailable | RefreshErrorKind::WaitTimeout => {
                LoginErrorKind::Unavailable
            }
            RefreshErrorKind::InvalidResponse => LoginErrorKind::InvalidResponse,
            RefreshErrorKind::Misconfigured => LoginErrorKind::Misconfigured,
            RefreshErrorKind::Internal => LoginErrorKind::Internal,
        };
        let retry_after = error.retry_after();
        Self { retry_after, ..Self::new(kind, "the login could not be stored or ended") }
            .with_source(error)
    }
}

/// An error of the token endpoint, or of another one of the provider's.
impl From<EndpointError> for LoginError {
    fn from(error: EndpointError) -> Self {
        use EndpointErrorKind as Kind;
        let (kind, retry_after) = match error.kind() {
            Kind::Unreachable | Kind::NoCredentials | Kind::NoAnswer => {
                (LoginErrorKind::Unavailable, None)
            }
            Kind::Unavailable { retry_after } | Kind::TryLater { retry_after } => {
                (LoginErrorKind::Unavailable, *retry_after)
            }
            Kind::InvalidGrant => {
                let why = "the provider does not take the code: it was used before, or is too old";
                return Self::new(LoginErrorKind::UnknownAttempt, why);
            }
            Kind::InvalidResponse { .. } => (LoginErrorKind::InvalidResponse, None),
            Kind::Rejected { .. } | Kind::Misconfigured => (LoginErrorKind::Misconfigured, None),
        };
        let message = error.to_string();
        let may_try_again = kind == LoginErrorKind::Unavailable && !error.may_have_consumed();
        let source = error.into_cause();
        Self { retry_after, may_try_again, source, ..Self::new(kind, message) }
    }
}

impl From<VerifyError> for LoginError {
    fn from(error: VerifyError) -> Self {
        let kind = match &error {
            VerifyError::Keys(_) => LoginErrorKind::Unavailable,
            _ => LoginErrorKind::InvalidResponse,
        };
        Self::new(kind, "the ID token was not verified").with_source(error)
    }
}
