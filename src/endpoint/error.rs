//! [`EndpointError`]: what a request to the provider came to, if not to an answer.

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

/// Why the provider gave no tokens. Cheap to clone.
///
/// Nothing of the provider's free text (`error_description`, a page of HTML) is kept. The chain of sources shows no URL, and no
/// part of the request, unless a transport of your own puts it into its errors.
#[derive(Clone)]
pub struct EndpointError {
    kind: EndpointErrorKind,
    maybe_consumed: bool,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// The kinds of [`EndpointError`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndpointErrorKind {
    /// No connection (refused, DNS, TLS): the request was surely not sent.
    Unreachable,
    /// No whole answer: the time was over, or the connection broke after the request may have been sent.
    NoAnswer,
    /// 429, 5xx, or one of the codes `temporarily_unavailable` and `server_error`; or not asked at all, because it has failed too often,
    /// wants to be left alone, or too many wait. The source then says which.
    Unavailable {
        /// The provider's `Retry-After`, at most five minutes; or the rest of the time it is left alone.
        retry_after: Option<Duration>,
    },
    /// The refresh token is expired, revoked or already used (RFC 6749, 5.2), or was so within the last 30 s.
    InvalidGrant,
    /// The provider refused for another reason.
    Rejected {
        /// The `error` code if it is a registered one (IANA OAuth Extensions Error registry), else "unregistered code".
        code: &'static str,
    },
    /// Not a token response.
    InvalidResponse {
        /// The rule it breaks.
        rule: &'static str,
    },
    /// A setting is wrong, or the discovery document names something this client must not use.
    Misconfigured,
}

impl EndpointError {
    pub(super) fn new(kind: EndpointErrorKind) -> Self {
        Self { kind, maybe_consumed: false, source: None }
    }

    /// The provider may have acted on the request: what was sent may be used up.
    pub(super) fn maybe_consumed(mut self) -> Self {
        self.maybe_consumed = true;
        self
    }

    pub(super) fn with_source(
        mut self,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// What caused it, for an error that says the rest itself.
    pub(crate) fn into_cause(self) -> Option<Arc<dyn StdError + Send + Sync>> {
        self.source
    }

    /// What went wrong, to match on.
    #[must_use]
    pub fn kind(&self) -> &EndpointErrorKind {
        &self.kind
    }

    /// Whether the provider may have consumed the refresh token all the same. If so, sending it again may end the login at a
    /// provider that punishes reuse.
    ///
    /// True for no answer, 5xx other than 503, `server_error`, and a success whose body is not a token response.
    #[must_use]
    pub fn may_have_consumed(&self) -> bool {
        self.maybe_consumed
    }
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            EndpointErrorKind::Unreachable => f.write_str("the provider cannot be reached"),
            EndpointErrorKind::NoAnswer => f.write_str("the provider gave no whole answer"),
            EndpointErrorKind::Unavailable { .. } => {
                f.write_str("the provider is overloaded or failing")
            }
            EndpointErrorKind::InvalidGrant => {
                f.write_str("the provider refused the grant: invalid_grant")
            }
            EndpointErrorKind::Rejected { code } => {
                write!(f, "the provider refused the request: {code}")
            }
            EndpointErrorKind::InvalidResponse { rule } => {
                write!(f, "the provider's answer {rule}")
            }
            EndpointErrorKind::Misconfigured => {
                f.write_str("the provider's endpoint cannot be used")
            }
        }
    }
}

impl fmt::Debug for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointError")
            .field("kind", &self.kind)
            .field("may_have_consumed", &self.maybe_consumed)
            .field("source", &self.source)
            .finish()
    }
}

impl StdError for EndpointError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
