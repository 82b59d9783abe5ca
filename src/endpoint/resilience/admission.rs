//! [`Admission`]: every refresh passes here before it is sent.
//!
//! The order matters. Breaker and refusals are checked twice: before the queue, so that a refused
//! request does not wait first, and after it, because the provider may have failed in the meantime.
//! A short `Retry-After` is waited for, as the queue is.
//! Every provider has one `Admission`, and all clones of the provider share it.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{
    breaker::{Breaker, BreakerRefusal, BreakerState, Signal, Ticket},
    bulkhead::{Bulkhead, Load, NoPermit, Permit},
    dead_tokens::{DeadTokens, Fingerprint},
    held_back::HeldBack,
    limits::ProviderLimits,
    rate_limited::RateLimited,
    refusals::Refusals,
};
use crate::{
    Clock,
    endpoint::error::{EndpointError, EndpointErrorKind as Kind},
    metrics::ProviderMeter,
};

pub(crate) struct Admission {
    clock: Clock,
    meter: ProviderMeter,
    breaker: Mutex<Breaker>,
    refusals: Mutex<Refusals>,
    rate_limited: Mutex<RateLimited>,
    bulkhead: Bulkhead,
    dead: Mutex<DeadTokens>,
}

/// Why a request is not admitted now.
enum NotNow {
    /// The provider wants no request before that.
    RetryAfter(Duration),
    Error(EndpointError),
}

impl From<BreakerRefusal> for NotNow {
    fn from(refusal: BreakerRefusal) -> Self {
        match refusal {
            BreakerRefusal::RetryAfter { rest } => Self::RetryAfter(rest),
            refusal => Self::Error(refusal.into()),
        }
    }
}

impl From<NoPermit> for NotNow {
    fn from(no_permit: NoPermit) -> Self {
        Self::Error(no_permit.into())
    }
}

impl From<EndpointError> for NotNow {
    fn from(error: EndpointError) -> Self {
        Self::Error(error)
    }
}

impl Admission {
    pub(crate) fn new(limits: &ProviderLimits, clock: Clock, meter: ProviderMeter) -> Self {
        Self {
            meter,
            breaker: Mutex::new(Breaker::new(limits.breaker)),
            refusals: Mutex::default(),
            rate_limited: Mutex::default(),
            bulkhead: Bulkhead::new(limits.concurrent.clone(), limits.queue, clock.clone()),
            clock,
            dead: Mutex::default(),
        }
    }

    /// Admits one request with `token`, or says why not. It waits for at most `longest_wait`.
    ///
    /// The breaker uses `not_before` if the clock is behind it: a caller that has slept until then
    /// by the runtime's timer does not depend on a clock that a test has stopped.
    pub(crate) async fn admit(
        &self,
        token: Fingerprint,
        mut not_before: Duration,
        longest_wait: Duration,
    ) -> Result<Pass<'_>, EndpointError> {
        let deadline = sleep(longest_wait).deadline();
        loop {
            let now = self.clock.monotonic().max(not_before);
            match self.try_admit(token, now, left_until(deadline)).await {
                Ok(pass) => return Ok(pass),
                Err(NotNow::RetryAfter(wait)) if wait <= left_until(deadline) => {
                    not_before = now.saturating_add(wait);
                    sleep(wait).await;
                }
                Err(NotNow::RetryAfter(rest)) => {
                    return Err(BreakerRefusal::RetryAfter { rest }.into());
                }
                Err(NotNow::Error(error)) => return Err(error),
            }
        }
    }

    async fn try_admit(
        &self,
        token: Fingerprint,
        from: Duration,
        wait: Duration,
    ) -> Result<Pass<'_>, NotNow> {
        let now = || self.clock.monotonic().max(from);
        lock(&self.breaker).check(now())?;
        lock(&self.refusals).check(token, now())?;
        let permit = self.bulkhead.acquire(wait).await?;
        let ticket = Some(self.note_state(|breaker| breaker.admit(now()))?);
        let mut pass = Pass { admission: self, token, ticket, epoch: 0, permit };
        pass.epoch = lock(&self.refusals).admit(token, now())?;
        Ok(pass)
    }

    /// Refuses a token that the provider has just rejected.
    pub(crate) fn refuse_dead(&self, token: &Fingerprint) -> Result<(), EndpointError> {
        if lock(&self.dead).contains(token, self.clock.monotonic()) {
            return Err(HeldBack::DeadToken.into_error(None));
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

    /// What the breaker does with a request now.
    pub(crate) fn breaker_state(&self) -> BreakerState {
        lock(&self.breaker).state()
    }

    /// Tells the meter if the breaker is in another state after `change`.
    fn note_state<T>(&self, change: impl FnOnce(&mut Breaker) -> T) -> T {
        let mut breaker = lock(&self.breaker);
        let before = breaker.state();
        let changed = change(&mut breaker);
        if breaker.state() != before {
            self.meter.breaker_is(breaker.state() as u8);
        }
        changed
    }

    fn record(&self, ticket: Ticket, signal: Signal) {
        let now = self.clock.monotonic();
        let opened = self.note_state(|breaker| breaker.record(ticket, signal, now, random()));
        if opened {
            self.meter.breaker_opened();
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
    token: Fingerprint,
    ticket: Option<Ticket>,
    /// Of the refusals.
    epoch: u32,
    permit: Permit<'a>,
}

impl Pass<'_> {
    /// Reports the outcome of the request.
    pub(crate) fn record<T>(mut self, outcome: &Result<T, EndpointError>) {
        let error = outcome.as_ref().err();
        let now = self.admission.clock.monotonic();
        let to_all = self.is_limit_for_all(error, now);
        if let Some(load) = load_of(error, to_all) {
            self.permit.learn(load);
        }
        lock(&self.admission.refusals).record((self.token, self.epoch), error, now, random());
        self.tell(error.map_or(Signal::Up, |error| signal_of(error, self.token, to_all)));
    }

    /// Reports why the request could not be sent. That says nothing about refreshes, but the breaker
    /// hears of a provider that is down.
    pub(crate) fn not_sent(mut self, error: &EndpointError) {
        self.tell(signal_of(error, self.token, false));
    }

    fn is_limit_for_all(&self, error: Option<&EndpointError>, now: Duration) -> bool {
        let mut limited = lock(&self.admission.rate_limited);
        match error.map(EndpointError::kind) {
            Some(Kind::TryLater { .. }) => limited.add(self.token, now),
            Some(_) => false,
            None => {
                limited.served();
                false
            }
        }
    }

    fn tell(&mut self, signal: Signal) {
        if let Some(ticket) = self.ticket.take() {
            self.admission.record(ticket, signal);
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.tell(Signal::Nothing);
    }
}

/// `to_all`: several logins were told to come back later.
fn signal_of(error: &EndpointError, token: Fingerprint, to_all: bool) -> Signal {
    match error.kind() {
        // It says nothing of the provider.
        Kind::NoCredentials => Signal::Nothing,
        Kind::Unreachable | Kind::NoAnswer => Signal::Down { retry_after: None, login: None },
        Kind::Unavailable { retry_after } => {
            let login = error.may_have_consumed().then_some(token);
            Signal::Down { retry_after: *retry_after, login }
        }
        Kind::TryLater { retry_after: Some(wait) } if to_all => Signal::Later(*wait),
        Kind::TryLater { .. }
        | Kind::InvalidGrant
        | Kind::Rejected { .. }
        | Kind::InvalidResponse { .. }
        | Kind::Misconfigured => Signal::Up,
    }
}

fn load_of(error: Option<&EndpointError>, to_all: bool) -> Option<Load> {
    match error.map(|error| (error.kind(), error.may_have_consumed())) {
        Some((Kind::Unreachable | Kind::NoCredentials | Kind::Misconfigured, _)) => None,
        Some((Kind::TryLater { .. }, _)) if to_all => Some(Load::TooMuchForSeveral),
        Some((Kind::TryLater { .. } | Kind::NoAnswer, _) | (Kind::Unavailable { .. }, false)) => {
            Some(Load::TooMuch)
        }
        _ => Some(Load::Answered),
    }
}

fn left_until(deadline: Instant) -> Duration {
    // tokio's own clock, which a test can pause.
    deadline.saturating_duration_since(sleep(Duration::ZERO).deadline())
}

/// A random number, for jitter only.
pub(crate) fn random() -> u32 {
    Uuid::new_v4().as_fields().0
}

/// Ignores poisoning: no code under these locks panics half way through a change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
