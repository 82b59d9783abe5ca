//! What every refresh at one provider passes: is the token known to be dead, does the provider want to be asked, is there a place.
//! One gate per endpoint, shared by its clones.

use std::{
    error::Error as StdError,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use uuid::Uuid;

use super::{
    breaker::{Barred, Breaker, Sign, Ticket},
    bulkhead::{Bulkhead, NoSlot, Slot},
    dead_tokens::{DeadTokens, Fingerprint},
    error::{EndpointError, EndpointErrorKind as Kind},
    limits::ProviderLimits,
};
use crate::{Clock, metrics};

pub(super) struct Gate {
    pub(super) clock: Clock,
    breaker: Mutex<Breaker>,
    bulkhead: Bulkhead,
    dead: Mutex<DeadTokens>,
}

/// Why a request was refused on this side. Nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotAsked {
    #[error("not asked: it has failed too often in a row")]
    BreakerOpen,
    #[error("not asked: another request is finding out whether it is back")]
    Probing,
    #[error("not asked: its Retry-After is not over")]
    RetryAfter,
    #[error("not asked: too many requests wait for their turn")]
    QueueFull,
    #[error("not asked: no turn came within the time of a request")]
    NoTurn,
    #[error("not asked: no time was left for a whole request")]
    TooLate,
    #[error("not asked: it has just refused this refresh token")]
    DeadToken,
}

impl NotAsked {
    pub(super) fn into_error(self, retry_after: Option<Duration>) -> EndpointError {
        metrics::request_refused(self.reason());
        let kind = match self {
            Self::DeadToken => Kind::InvalidGrant,
            _ => Kind::Unavailable { retry_after },
        };
        EndpointError::new(kind).with_source(self)
    }

    fn reason(self) -> &'static str {
        match self {
            Self::BreakerOpen => "breaker_open",
            Self::Probing => "probing",
            Self::RetryAfter => "retry_after",
            Self::QueueFull => "queue_full",
            Self::NoTurn => "no_turn",
            Self::TooLate => "too_late",
            Self::DeadToken => "dead_token",
        }
    }
}

/// Whether what caused `error` is that the provider is left alone for a while.
pub(crate) fn is_left_alone(error: &(dyn StdError + 'static)) -> bool {
    let why = error.source().and_then(|source| source.downcast_ref());
    matches!(why, Some(NotAsked::BreakerOpen | NotAsked::Probing | NotAsked::RetryAfter))
}

impl From<Barred> for EndpointError {
    fn from(barred: Barred) -> Self {
        let (why, rest) = match barred {
            Barred::Open { rest } => (NotAsked::BreakerOpen, rest),
            Barred::Probing { rest } => (NotAsked::Probing, rest),
            Barred::RetryAfter { rest } => (NotAsked::RetryAfter, rest),
        };
        why.into_error(Some(rest))
    }
}

impl From<NoSlot> for EndpointError {
    fn from(no_slot: NoSlot) -> Self {
        match no_slot {
            NoSlot::QueueFull => NotAsked::QueueFull.into_error(None),
            NoSlot::WaitedTooLong => NotAsked::NoTurn.into_error(None),
        }
    }
}

impl Gate {
    pub(super) fn new(limits: &ProviderLimits, clock: Clock) -> Self {
        Self {
            clock,
            breaker: Mutex::new(Breaker::new(limits.breaker)),
            bulkhead: Bulkhead::new(limits.concurrent, limits.queue),
            dead: Mutex::default(),
        }
    }

    /// Lets one request pass, or says why not. `not_before` is a moment of this gate's clock that has certainly come: whoever has
    /// slept until then by the runtime's timer need not wait for a clock that a test holds still.
    pub(super) async fn enter(
        &self,
        not_before: Duration,
        longest_wait: Duration,
    ) -> Result<Pass<'_>, EndpointError> {
        let now = || self.clock.monotonic().max(not_before);
        // Twice: the first spares the refused the queue, the second those that the queue held while the provider went down.
        lock(&self.breaker).check(now())?;
        let slot = self.bulkhead.enter(longest_wait).await?;
        let ticket = lock(&self.breaker).enter(now())?;
        Ok(Pass { gate: self, ticket: Some(ticket), _slot: slot })
    }

    pub(super) fn refuse_dead(&self, token: &Fingerprint) -> Result<(), EndpointError> {
        if lock(&self.dead).is_dead(token, self.clock.monotonic()) {
            return Err(NotAsked::DeadToken.into_error(None));
        }
        Ok(())
    }

    pub(super) fn note_dead(&self, token: Fingerprint) {
        lock(&self.dead).note(token, self.clock.monotonic());
    }

    fn settle(&self, ticket: Ticket, sign: Sign) {
        let opened = lock(&self.breaker).settle(ticket, sign, self.clock.monotonic(), random());
        if opened {
            metrics::breaker_opened();
            tracing::warn!(
                "the provider has failed too often in a row; it is left alone for a while"
            );
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("breaker", &*lock(&self.breaker)).finish_non_exhaustive()
    }
}

/// The right to send one request. Dropped without a word, it tells the breaker nothing, and a probe's place is free again.
pub(super) struct Pass<'a> {
    gate: &'a Gate,
    ticket: Option<Ticket>,
    _slot: Slot<'a>,
}

impl Pass<'_> {
    /// What the request came to.
    pub(super) fn told<T>(mut self, outcome: &Result<T, EndpointError>) {
        let sign = outcome.as_ref().map_or_else(sign_of, |_| Sign::Up);
        if let Some(ticket) = self.ticket.take() {
            self.gate.settle(ticket, sign);
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.gate.settle(ticket, Sign::None);
        }
    }
}

fn sign_of(error: &EndpointError) -> Sign {
    match error.kind() {
        Kind::Unreachable | Kind::NoAnswer => Sign::Down { retry_after: None },
        Kind::Unavailable { retry_after } => Sign::Down { retry_after: *retry_after },
        Kind::InvalidGrant
        | Kind::Rejected { .. }
        | Kind::InvalidResponse { .. }
        | Kind::Misconfigured => Sign::Up,
    }
}

/// For jitter only.
pub(super) fn random() -> u32 {
    Uuid::new_v4().as_fields().0
}

/// Nothing that is done under these locks panics half way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
