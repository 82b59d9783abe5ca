//! [`HeldBack`]: why this process did not send a request.

use std::{error::Error as StdError, time::Duration};

use super::{breaker::BreakerRefusal, bulkhead::NoPermit};
use crate::endpoint::error::{EndpointError, EndpointErrorKind as Kind};

/// Why this process did not send a request. The provider saw nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeldBack {
    #[error("not sent: the circuit breaker is open after too many failures in a row")]
    BreakerOpen,
    #[error("not sent: another request is testing whether the provider has recovered")]
    BreakerHalfOpen,
    #[error("not sent: the provider's Retry-After has not passed yet")]
    RetryAfter,
    #[error("not sent: the request queue is full")]
    QueueFull,
    #[error("not sent: the request waited in the queue for too long")]
    QueueTimeout,
    #[error("not sent: the request would wait in the queue for too long")]
    QueueTooLong,
    #[error("not sent: too little time was left for a whole request")]
    NoTimeLeft,
    #[error("not sent: the provider rejected this refresh token less than 30 s ago")]
    DeadToken,
    #[error("not sent: the provider refused the same to several logins a moment ago")]
    RefusedToAll,
}

impl HeldBack {
    /// The labels of the metric.
    pub(crate) const REASONS: [&str; 9] = [
        Self::BreakerOpen.reason(),
        Self::BreakerHalfOpen.reason(),
        Self::RetryAfter.reason(),
        Self::QueueFull.reason(),
        Self::QueueTimeout.reason(),
        Self::QueueTooLong.reason(),
        Self::NoTimeLeft.reason(),
        Self::DeadToken.reason(),
        Self::RefusedToAll.reason(),
    ];

    pub(crate) fn into_error(self, retry_after: Option<Duration>) -> EndpointError {
        let kind = match self {
            Self::DeadToken => Kind::InvalidGrant,
            _ => Kind::Unavailable { retry_after },
        };
        EndpointError::new(kind).with_source(self)
    }

    /// The label of the metric.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::BreakerOpen => "breaker_open",
            Self::BreakerHalfOpen => "breaker_half_open",
            Self::RetryAfter => "retry_after",
            Self::QueueFull => "queue_full",
            Self::QueueTimeout => "queue_timeout",
            Self::QueueTooLong => "queue_too_long",
            Self::NoTimeLeft => "no_time_left",
            Self::DeadToken => "dead_token",
            Self::RefusedToAll => "refused_to_all",
        }
    }
}

/// Whether `error` means that the request was held back because of what others have met, so that
/// nothing was sent.
pub(crate) fn is_held_back(error: &(dyn StdError + 'static)) -> bool {
    let refused = error.source().and_then(|source| source.downcast_ref());
    matches!(
        refused,
        Some(
            HeldBack::BreakerOpen
                | HeldBack::BreakerHalfOpen
                | HeldBack::RetryAfter
                | HeldBack::RefusedToAll
        )
    )
}

impl From<BreakerRefusal> for EndpointError {
    fn from(refusal: BreakerRefusal) -> Self {
        let (refused, rest) = match refusal {
            BreakerRefusal::Open { rest } => (HeldBack::BreakerOpen, rest),
            BreakerRefusal::HalfOpen { rest } => (HeldBack::BreakerHalfOpen, rest),
            BreakerRefusal::RetryAfter { rest } => (HeldBack::RetryAfter, rest),
        };
        refused.into_error(Some(rest))
    }
}

impl From<NoPermit> for EndpointError {
    fn from(no_permit: NoPermit) -> Self {
        match no_permit {
            NoPermit::QueueFull => HeldBack::QueueFull.into_error(None),
            NoPermit::Timeout => HeldBack::QueueTimeout.into_error(None),
            NoPermit::TooLate(wait) => HeldBack::QueueTooLong.into_error(Some(wait)),
        }
    }
}
