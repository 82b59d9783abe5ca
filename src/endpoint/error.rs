//! [`EndpointError`]: why a request to the provider failed.

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use crate::dpop::USE_DPOP_NONCE;

/// Why a request to the provider failed. Cheap to clone.
///
/// It holds none of the provider's free text, such as `error_description` or an HTML page. Its
/// sources show no part of the request and no URL but that of a discovery document, unless a
/// transport of your own puts them into its errors.
#[derive(Clone)]
pub(crate) struct EndpointError {
    pub(super) kind: EndpointErrorKind,
    maybe_consumed: bool,
    perhaps_dead: bool,
    of_one_request: bool,
    may_pass: bool,
    /// What to change, for an error that only the operator can fix.
    hint: Option<Arc<str>>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// The kinds of [`EndpointError`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EndpointErrorKind {
    /// There was no connection (refused, DNS, TLS), so the request was certainly not sent.
    Unreachable,
    /// This client's secret, key or token cannot be had just now, so the request was not sent.
    NoCredentials,
    /// There was no complete answer: the time ran out, or the connection broke after the request
    /// may have been sent.
    NoAnswer,
    /// The provider answered a 5xx, `temporarily_unavailable` or `server_error`. Or this process
    /// did not send the request, because the circuit breaker is open, a `Retry-After` has not
    /// passed, or the queue is full; the source says which.
    Unavailable {
        /// The provider's `Retry-After`, at most five minutes, or the rest of the breaker's pause.
        retry_after: Option<Duration>,
    },
    /// The provider wants this request later (429, `slow_down`, 408, 421, 425), and did not act on
    /// it. One such answer says nothing about the requests of others.
    TryLater {
        /// The provider's `Retry-After`, at most five minutes.
        retry_after: Option<Duration>,
    },
    /// The refresh token has expired, or was revoked or used (RFC 6749, section 5.2), or the user
    /// must come back. For 30 s this process does not send it again.
    InvalidGrant,
    /// The provider rejected the request for another reason.
    Rejected {
        /// The `error` code if it is registered (IANA OAuth Extensions Error registry), else
        /// "unregistered code".
        code: &'static str,
    },
    /// The answer is not a token response.
    InvalidResponse {
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// A setting is wrong, or the discovery document names a URL that this client must not use.
    Misconfigured,
}

impl EndpointErrorKind {
    /// The label of metrics.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::NoCredentials => "no_credentials",
            Self::NoAnswer => "no_answer",
            Self::Unavailable { .. } => "unavailable",
            Self::TryLater { .. } => "try_later",
            Self::InvalidGrant => "invalid_grant",
            Self::Rejected { .. } => "rejected",
            Self::InvalidResponse { .. } => "invalid_response",
            Self::Misconfigured => "misconfigured",
        }
    }
}

impl EndpointError {
    pub(super) fn new(kind: EndpointErrorKind) -> Self {
        Self {
            kind,
            maybe_consumed: false,
            perhaps_dead: false,
            of_one_request: false,
            may_pass: false,
            hint: None,
            source: None,
        }
    }

    /// Marks that the provider may have acted on the request, so that the token may be used up.
    pub(super) fn maybe_consumed(mut self) -> Self {
        self.maybe_consumed = true;
        self
    }

    /// Marks that the answer may mean: the provider will never take this refresh token again.
    pub(super) fn perhaps_dead(mut self) -> Self {
        self.perhaps_dead = true;
        self
    }

    /// Marks that the answer is about what this one request asked for, or how: it says nothing about the
    /// refresh token, and nothing to others.
    pub(super) fn of_one_request(mut self) -> Self {
        self.of_one_request = true;
        self.perhaps_dead = false;
        self
    }

    /// Marks that the cause may pass by itself: a client secret that is being changed, a gateway
    /// that is being deployed.
    pub(super) fn may_pass(mut self) -> Self {
        self.may_pass = true;
        self
    }

    pub(super) fn with_source(
        mut self,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// Adds what to change, to the message.
    pub(super) fn with_hint(mut self, hint: impl Into<Arc<str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The source, for an error that repeats the message itself.
    pub(crate) fn into_cause(self) -> Option<Arc<dyn StdError + Send + Sync>> {
        self.source
    }

    /// What went wrong.
    pub(crate) fn kind(&self) -> &EndpointErrorKind {
        &self.kind
    }

    /// Whether the provider may have consumed the refresh token. If so, sending it again may end
    /// the login at a provider that detects reuse.
    ///
    /// True if there was no complete answer, for a 5xx other than 503, for `server_error`, and for
    /// a success whose body is not a token response.
    pub(crate) fn may_have_consumed(&self) -> bool {
        self.maybe_consumed
    }

    /// Whether the answer may mean that the provider will never take this refresh token again. One
    /// such answer proves nothing.
    pub(crate) fn is_perhaps_dead(&self) -> bool {
        self.perhaps_dead
    }

    /// Whether the answer says nothing to others.
    pub(super) fn is_of_one_request(&self) -> bool {
        self.of_one_request
    }

    /// Whether the cause may pass by itself. It has not if the next answer is the same.
    pub(crate) fn is_passing(&self) -> bool {
        self.may_pass
    }

    /// Whether the provider would give the same answer again: not now, or a clear refusal.
    pub(crate) fn would_repeat(&self) -> bool {
        let is_later = matches!(self.kind, EndpointErrorKind::TryLater { .. });
        (is_later && !self.maybe_consumed) || self.is_refusal()
    }

    /// Whether the provider wants to see another nonce in a DPoP proof (RFC 9449, section 8). It has
    /// not acted on the request.
    pub(super) fn wants_nonce(&self) -> bool {
        self.kind == EndpointErrorKind::Rejected { code: USE_DPOP_NONCE }
    }

    /// Whether the provider has clearly refused what would be refused again.
    pub(crate) fn is_refusal(&self) -> bool {
        let refused = matches!(
            self.kind,
            EndpointErrorKind::Rejected { .. } | EndpointErrorKind::InvalidResponse { .. }
        );
        refused && !self.maybe_consumed
    }
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            EndpointErrorKind::Unreachable => f.write_str("the provider cannot be reached"),
            EndpointErrorKind::NoCredentials => {
                f.write_str("this client's credentials cannot be had")
            }
            EndpointErrorKind::NoAnswer => f.write_str("the provider gave no complete answer"),
            EndpointErrorKind::Unavailable { .. } => {
                f.write_str("the provider is overloaded or failing")
            }
            EndpointErrorKind::TryLater { .. } => {
                f.write_str("the provider wants this request later")
            }
            EndpointErrorKind::InvalidGrant => {
                f.write_str("the provider rejected the refresh token: invalid_grant")
            }
            EndpointErrorKind::Rejected { code } => {
                write!(f, "the provider rejected the request: {code}")
            }
            EndpointErrorKind::InvalidResponse { rule } => {
                write!(f, "the provider's answer {rule}")
            }
            EndpointErrorKind::Misconfigured => {
                f.write_str("the provider's settings or discovery document are wrong")
            }
        }?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointError")
            .field("kind", &self.kind)
            .field("may_have_consumed", &self.maybe_consumed)
            .field("hint", &self.hint)
            .field("source", &self.source)
            .finish()
    }
}

impl StdError for EndpointError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
