//! What can go wrong: [`RefreshError`] for a request, [`ConfigError`] for a setting.

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Response, StatusCode};

/// The longest `Retry-After`, of ours and of a provider that we obey: users wait for it.
pub(crate) const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(5 * 60);

/// Why a request got no token. Cheap to clone: every request that waited for a failed refresh gets
/// its error.
///
/// Neither `Display`, `Debug` nor the chain of sources shows a token, a secret, a session id or a
/// provider's free text. The chain may end in a store's own message about its backend.
#[derive(Clone)]
pub struct RefreshError(Arc<Inner>);

/// Behind a pointer, so that the results without an error stay small.
#[derive(Clone)]
struct Inner {
    kind: RefreshErrorKind,
    message: Arc<str>,
    retry_after: Option<Duration>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
    logged: bool,
    answer: Option<Arc<Response<Bytes>>>,
}

/// The kinds of [`RefreshError`], each with one HTTP answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefreshErrorKind {
    /// The session points to no login: nobody is logged in. 401.
    NoTokens,
    /// The provider no longer accepts the refresh token (`invalid_grant`, or what
    /// [seems to mean it](crate::RefreshPolicy::end_after_rejections)), or the access token has
    /// expired and there is no refresh token. The login has ended. Or the token record is gone, or
    /// is sealed with a key that this process does not have; such a record is left as it is. 401.
    SessionExpired,
    /// The login ended, for example by a logout, before or during the refresh. 401.
    LoggedOut,
    /// The refreshed tokens are those of another user (`sub`) or issuer (`iss`). Nobody gets them:
    /// the login ends, and the new tokens are revoked. 401, and an error in the log, because a
    /// provider or a proxy has mixed up its users.
    SubjectChanged,
    /// The provider or a store cannot be reached or is overloaded, or this process is shutting
    /// down. The tokens are kept. 503 with `Retry-After`.
    Unavailable,
    /// The refresh takes longer than this request [waits](crate::RefreshPolicy::wait_timeout). The
    /// refresh goes on, and the tokens are kept. 503 with `Retry-After`.
    WaitTimeout,
    /// The provider's answer is not a token response, or its access token cannot be used. The tokens
    /// are kept, and a new refresh token as well. 502.
    InvalidResponse,
    /// A setting is wrong: the provider refuses the client, the session layer or the token refresh
    /// layer is missing, the session's entry or the token record cannot be parsed, the record is of
    /// another issuer, or the access token does not have the claims that a route needs. The tokens
    /// are kept. 500, and the log says what to change.
    Misconfigured,
    /// A task panicked. The tokens are kept, and the next request tries again. 500.
    Internal,
}

impl RefreshErrorKind {
    pub(crate) const ALL: [Self; 9] = [
        Self::NoTokens,
        Self::SessionExpired,
        Self::LoggedOut,
        Self::SubjectChanged,
        Self::Unavailable,
        Self::WaitTimeout,
        Self::InvalidResponse,
        Self::Misconfigured,
        Self::Internal,
    ];

    /// The HTTP status of the answer.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::NoTokens | Self::SessionExpired | Self::LoggedOut | Self::SubjectChanged => {
                StatusCode::UNAUTHORIZED
            }
            Self::Unavailable | Self::WaitTimeout => StatusCode::SERVICE_UNAVAILABLE,
            Self::InvalidResponse => StatusCode::BAD_GATEWAY,
            Self::Misconfigured | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The kind in `snake_case`: the `code` of the problem JSON, and the label of metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoTokens => "no_tokens",
            Self::SessionExpired => "session_expired",
            Self::LoggedOut => "logged_out",
            Self::SubjectChanged => "subject_changed",
            Self::Unavailable => "unavailable",
            Self::WaitTimeout => "wait_timeout",
            Self::InvalidResponse => "invalid_response",
            Self::Misconfigured => "misconfigured",
            Self::Internal => "internal",
        }
    }
}

impl RefreshError {
    pub(crate) fn new(kind: RefreshErrorKind, message: impl Into<Arc<str>>) -> Self {
        let (message, retry_after, source) = (message.into(), None, None);
        Self(Arc::new(Inner { kind, message, retry_after, source, logged: false, answer: None }))
    }

    fn change(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    pub(crate) fn with_source(self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.with_cause(Some(Arc::new(source)))
    }

    pub(crate) fn with_cause(self, cause: Option<Arc<dyn StdError + Send + Sync>>) -> Self {
        self.change(|inner| inner.source = cause)
    }

    pub(crate) fn with_retry_after(self, after: Duration) -> Self {
        self.change(|inner| inner.retry_after = Some(after.min(LONGEST_RETRY_AFTER)))
    }

    /// The same answer to whoever asks while nothing is sent for another `rest`.
    pub(crate) fn kept_for(self, rest: Duration) -> Self {
        let is_outage = self.kind() == RefreshErrorKind::Unavailable;
        if is_outage { self.with_retry_after(rest) } else { self }
    }

    /// Notes that the error is in the log: one failed refresh is one line, however many requests
    /// fail.
    pub(crate) fn mark_logged(&mut self) {
        Arc::make_mut(&mut self.0).logged = true;
    }

    pub(crate) fn is_logged(&self) -> bool {
        self.0.logged
    }

    pub(crate) fn with_answer(self, answer: Response<Bytes>) -> Self {
        self.change(|inner| inner.answer = Some(Arc::new(answer)))
    }

    /// The application's own answer to the request that got this error, if it has one.
    pub(crate) fn answer(&self) -> Option<&Response<Bytes>> {
        self.0.answer.as_deref()
    }

    /// What went wrong, to match on.
    #[must_use]
    pub fn kind(&self) -> RefreshErrorKind {
        self.0.kind
    }

    /// How long to wait before another attempt. Only [`RefreshErrorKind::Unavailable`] and
    /// [`RefreshErrorKind::WaitTimeout`] have it: the provider's own `Retry-After`, the time until
    /// this process tries again, or 1 s. Never more than 5 min.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }
}

impl fmt::Display for RefreshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for RefreshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshError")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("retry_after", &self.0.retry_after)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for RefreshError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// A setting that cannot work, with its value and the rule that it breaks.
///
/// `Debug` prints the same as `Display`, because a `main` that returns the error prints `Debug`.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A URL that cannot be parsed, is not http or https, or has a user name, a password or a
    /// fragment.
    #[error("{what} is not a usable URL: {value:?}: {rule}")]
    Url {
        /// Which setting.
        what: &'static str,
        /// Its value, without user name, password, query and fragment.
        value: String,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// Plain http to a host that is neither loopback nor allowed by name.
    #[error(
        "{what} {value:?} is plain http to {host:?}, which is not loopback: use https, or `allow_http_to({host:?})`"
    )]
    PlainHttp {
        /// Which setting.
        what: &'static str,
        /// The URL.
        value: String,
        /// The host to allow.
        host: String,
    },
    /// Two settings that contradict each other.
    #[error("{left} ({left_value}) must be {rule} {right} ({right_value})")]
    Clash {
        /// The first setting.
        left: &'static str,
        /// Its value.
        left_value: String,
        /// What the first must be to the second, such as "at least".
        rule: &'static str,
        /// The second setting.
        right: &'static str,
        /// Its value.
        right_value: String,
    },
    /// A value outside its range.
    #[error("{what} is {value}: {rule}")]
    Range {
        /// Which setting.
        what: &'static str,
        /// Its value.
        value: String,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// A signing key, a certificate or a secret that cannot be used. Nothing of it is shown.
    #[error("{what} cannot be used: {rule}")]
    Credential {
        /// Which one, with the path of its file if it has one.
        what: String,
        /// The rule it breaks.
        rule: String,
    },
    /// The default transport cannot be built, for example without TLS roots, or with a proxy
    /// variable that is not a URL.
    #[error("the default transport cannot be built: {rule}")]
    Transport {
        /// The reason.
        rule: String,
    },
}

impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An error with its sources, for one line of a log.
pub(crate) struct Chain<'a>(pub(crate) &'a (dyn StdError + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_main_that_returns_a_config_error_prints_the_rule() {
        let error = ConfigError::PlainHttp {
            what: "the token URL",
            value: "http://keycloak/token".into(),
            host: "keycloak".into(),
        };
        let printed = format!("{:?}", Box::<dyn StdError>::from(error));
        assert!(printed.ends_with("use https, or `allow_http_to(\"keycloak\")`"), "{printed}");
    }

    #[test]
    fn a_chain_is_one_line() {
        let inner = RefreshError::new(RefreshErrorKind::Unavailable, "the store failed");
        let outer = RefreshError::new(RefreshErrorKind::Unavailable, "no token").with_source(inner);
        assert_eq!(Chain(&outer).to_string(), "no token: the store failed");
    }
}
