//! What a slot knows of its last flights that failed.
//!
//! | the provider | the next call | a token that is due soon |
//! |---|---|---|
//! | refuses the client or the request | gets the same answer for 1 s, doubling to 60 s | is asked for again after that |
//! | wants this request later | gets 503 for as long | the same |
//! | cannot be reached, or fails | tries again | is asked for again after 1 s, doubling to 60 s |
//!
//! What may pass by itself is a 503 the first time.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    backoff::doubled,
    clock::{Clock, Moment},
    endpoint::{EndpointError, EndpointErrorKind as Kind},
    error::{RefreshError, RefreshErrorKind},
    refresher::errors::{endpoint_failed, passing},
};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Why a flight brought no token.
pub(in crate::outbound) struct NotObtained {
    pub(in crate::outbound) error: RefreshError,
    /// Whether the next request would get the same answer.
    would_repeat: bool,
    /// What to say the first time, where the cause may pass.
    at_first: Option<Box<RefreshError>>,
}

impl From<RefreshError> for NotObtained {
    fn from(error: RefreshError) -> Self {
        Self { error, would_repeat: false, at_first: None }
    }
}

impl NotObtained {
    /// `grant`: what was presented. No login ends by it, so a refused one is a wrong setting.
    pub(in crate::outbound) fn by_provider(error: EndpointError, grant: &'static str) -> Self {
        let is_refused = *error.kind() == Kind::InvalidGrant;
        let would_repeat = error.would_repeat() || is_refused;
        let at_first = error.is_passing().then(|| Box::new(passing(error.clone())));
        let error = if is_refused {
            let message = format!("the provider does not accept the grant {grant}");
            RefreshError::new(RefreshErrorKind::Misconfigured, message)
                .with_cause(error.into_cause())
        } else {
            endpoint_failed(error)
        };
        Self { error, would_repeat, at_first }
    }

    pub(super) fn expired_at_birth() -> Self {
        let message = "the provider's new token has already expired by our clock";
        let error = RefreshError::new(RefreshErrorKind::InvalidResponse, message);
        Self { error, would_repeat: true, at_first: None }
    }
}

pub(super) struct Failures {
    clock: Clock,
    last: Mutex<Option<Last>>,
}

struct Last {
    error: RefreshError,
    would_repeat: bool,
    in_a_row: u32,
    since: Moment,
    pause: Duration,
}

impl Failures {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, last: Mutex::default() }
    }

    /// Gives what the waiters are told.
    pub(super) fn add(&self, failed: NotObtained) -> RefreshError {
        let mut last = self.lock();
        let earlier = last.as_ref().map_or(0, |last| last.in_a_row);
        let error = match failed.at_first {
            Some(at_first) if earlier == 0 => *at_first,
            _ => failed.error,
        };
        let asked_for = error.retry_after().unwrap_or_default();
        let pause = doubled(FIRST_PAUSE, earlier, LONGEST_PAUSE).max(asked_for);
        *last = Some(Last {
            error: error.clone(),
            would_repeat: failed.would_repeat,
            in_a_row: earlier.saturating_add(1),
            since: self.clock.moment(),
            pause,
        });
        error
    }

    pub(super) fn forget(&self) {
        *self.lock() = None;
    }

    pub(super) fn any(&self) -> bool {
        self.lock().is_some()
    }

    /// The answer to a call that would get it again.
    pub(super) fn kept(&self) -> Option<RefreshError> {
        let last = self.lock();
        let last = last.as_ref().filter(|last| last.would_repeat)?;
        let rest = self.rest(last)?;
        Some(last.error.clone().kept_for(rest))
    }

    /// Whether a flight that nobody waits for is better not started yet.
    pub(super) fn is_paused(&self) -> bool {
        self.lock().as_ref().is_some_and(|last| self.rest(last).is_some())
    }

    fn rest(&self, last: &Last) -> Option<Duration> {
        let rest = last.pause.saturating_sub(self.clock.since(last.since));
        (!rest.is_zero()).then_some(rest)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Last>> {
        // Nothing panics half way through a change.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
