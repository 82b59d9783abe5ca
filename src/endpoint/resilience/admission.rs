//! [`Admission`]: every refresh passes here before it is sent.
//!
//! The order matters. The breaker is checked twice: before the queue, so that a refused request
//! does not wait first, and after it, because the provider may have failed in the meantime.
//! Every provider has one `Admission`, and all clones of the provider share it.

use std::{
    error::Error as StdError,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use uuid::Uuid;

use super::{
    breaker::{Breaker, BreakerRefusal, Signal, Ticket},
    bulkhead::{Bulkhead, NoPermit, Permit},
    dead_tokens::{DeadTokens, Fingerprint},
    limits::ProviderLimits,
};
use crate::{
    Clock,
    endpoint::error::{EndpointError, EndpointErrorKind as Kind},
    metrics,
};

pub(crate) struct Admission {
    clock: Clock,
    breaker: Mutex<Breaker>,
    bulkhead: Bulkhead,
    dead: Mutex<DeadTokens>,
}

/// Why this process did not send a request. The provider saw nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("not sent: the circuit breaker is open after too many failures in a row")]
    BreakerOpen,
    #[error("not sent: another request is testing whether the provider has recovered")]
    BreakerHalfOpen,
    #[error("not sent: the provider's Retry-After has not passed yet")]
    RetryAfter,
    #[error("not sent: the request queue is full")]
    QueueFull,
    #[error("not sent: the request waited in the queue for a whole request timeout")]
    QueueTimeout,
    #[error("not sent: too little time was left for a whole request")]
    NoTimeLeft,
    #[error("not sent: the provider rejected this refresh token less than 30 s ago")]
    DeadToken,
}

impl Refused {
    pub(crate) fn into_error(self, retry_after: Option<Duration>) -> EndpointError {
        metrics::request_refused(self.reason());
        let kind = match self {
            Self::DeadToken => Kind::InvalidGrant,
            _ => Kind::Unavailable { retry_after },
        };
        EndpointError::new(kind).with_source(self)
    }

    /// The label of the metric.
    fn reason(self) -> &'static str {
        match self {
            Self::BreakerOpen => "breaker_open",
            Self::BreakerHalfOpen => "breaker_half_open",
            Self::RetryAfter => "retry_after",
            Self::QueueFull => "queue_full",
            Self::QueueTimeout => "queue_timeout",
            Self::NoTimeLeft => "no_time_left",
            Self::DeadToken => "dead_token",
        }
    }
}

/// Whether `error` means that the breaker held the request back, so that nothing was sent.
pub(crate) fn is_breaker_refusal(error: &(dyn StdError + 'static)) -> bool {
    let refused = error.source().and_then(|source| source.downcast_ref());
    matches!(refused, Some(Refused::BreakerOpen | Refused::BreakerHalfOpen | Refused::RetryAfter))
}

impl From<BreakerRefusal> for EndpointError {
    fn from(refusal: BreakerRefusal) -> Self {
        let (refused, rest) = match refusal {
            BreakerRefusal::Open { rest } => (Refused::BreakerOpen, rest),
            BreakerRefusal::HalfOpen { rest } => (Refused::BreakerHalfOpen, rest),
            BreakerRefusal::RetryAfter { rest } => (Refused::RetryAfter, rest),
        };
        refused.into_error(Some(rest))
    }
}

impl From<NoPermit> for EndpointError {
    fn from(no_permit: NoPermit) -> Self {
        match no_permit {
            NoPermit::QueueFull => Refused::QueueFull.into_error(None),
            NoPermit::Timeout => Refused::QueueTimeout.into_error(None),
        }
    }
}

impl Admission {
    pub(crate) fn new(limits: &ProviderLimits, clock: Clock) -> Self {
        Self {
            clock,
            breaker: Mutex::new(Breaker::new(limits.breaker)),
            bulkhead: Bulkhead::new(limits.concurrent, limits.queue),
            dead: Mutex::default(),
        }
    }

    /// Admits one request, or says why not. It waits in the queue for at most `longest_wait`.
    ///
    /// The breaker uses `not_before` if the clock is behind it: a caller that has slept until then
    /// by the runtime's timer does not depend on a clock that a test has stopped.
    pub(crate) async fn admit(
        &self,
        not_before: Duration,
        longest_wait: Duration,
    ) -> Result<Pass<'_>, EndpointError> {
        let now = || self.clock.monotonic().max(not_before);
        lock(&self.breaker).check(now())?;
        let permit = self.bulkhead.acquire(longest_wait).await?;
        let ticket = lock(&self.breaker).admit(now())?;
        Ok(Pass { admission: self, ticket: Some(ticket), _permit: permit })
    }

    /// Refuses a token that the provider has just rejected.
    pub(crate) fn refuse_dead(&self, token: &Fingerprint) -> Result<(), EndpointError> {
        if lock(&self.dead).contains(token, self.clock.monotonic()) {
            return Err(Refused::DeadToken.into_error(None));
        }
        Ok(())
    }

    /// Remembers that the provider has rejected `token`.
    pub(crate) fn remember_dead(&self, token: Fingerprint) {
        lock(&self.dead).insert(token, self.clock.monotonic());
    }

    /// The moment that lies `wait` ahead, on the clock of the breaker.
    pub(crate) fn after(&self, wait: Duration) -> Duration {
        self.clock.monotonic().saturating_add(wait)
    }

    fn record(&self, ticket: Ticket, signal: Signal) {
        let opened = lock(&self.breaker).record(ticket, signal, self.clock.monotonic(), random());
        if opened {
            metrics::breaker_opened();
            tracing::warn!(
                "the circuit breaker opened: the provider failed too often in a row, and token \
                 requests pause for a while"
            );
        }
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").field("breaker", &*lock(&self.breaker)).finish_non_exhaustive()
    }
}

/// The right to send one request. Dropping it without [`record`](Self::record) tells the breaker
/// nothing about the provider; if this request was the probe, the next request may be the probe.
pub(crate) struct Pass<'a> {
    admission: &'a Admission,
    ticket: Option<Ticket>,
    _permit: Permit<'a>,
}

impl Pass<'_> {
    /// Reports the outcome of the request to the breaker.
    pub(crate) fn record<T>(mut self, outcome: &Result<T, EndpointError>) {
        let signal = outcome.as_ref().map_or_else(signal_of, |_| Signal::Up);
        if let Some(ticket) = self.ticket.take() {
            self.admission.record(ticket, signal);
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.admission.record(ticket, Signal::Nothing);
        }
    }
}

fn signal_of(error: &EndpointError) -> Signal {
    match error.kind() {
        Kind::Unreachable | Kind::NoAnswer => Signal::Down { retry_after: None },
        Kind::Unavailable { retry_after } => Signal::Down { retry_after: *retry_after },
        Kind::InvalidGrant
        | Kind::Rejected { .. }
        | Kind::InvalidResponse { .. }
        | Kind::Misconfigured => Signal::Up,
    }
}

/// A random number, for jitter only.
pub(crate) fn random() -> u32 {
    Uuid::new_v4().as_fields().0
}

/// Ignores poisoning: no code under these locks panics half way through a change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
