//! What a slot knows of its last flights that failed.
//!
//! | the provider | the next call | a token that is due soon |
//! |---|---|---|
//! | refuses the client or the request | gets the same answer for 1 s, doubling to 60 s | is asked for again after that |
//! | wants this request later | gets 503 for as long, or for the doubled pause if that is longer | the same |
//! | cannot be reached, or fails | tries again | is asked for again after 1 s, doubling to 60 s |
//!
//! What may pass by itself is a 503 the first time. What was not sent at all, as the provider refuses
//! everybody just now, doubles nothing: those who hold it back have a pause of their own.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    backoff::doubled,
    clock::{Clock, Moment},
    endpoint::{EndpointError, EndpointErrorKind as Kind, is_held_back},
    error::{RefreshError, RefreshErrorKind},
    refresher::errors::{endpoint_failed, passing},
};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Why a flight brought no token.
pub(in crate::outbound) struct NotObtained {
    pub(in crate::outbound) error: RefreshError,
    kind: Failure,
    /// What to say the first time, where the cause may pass.
    at_first: Option<RefreshError>,
}

/// Each kind has a row of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// The next request would be refused as well.
    Refusal,
    /// The provider wants this request later.
    Later,
    /// The next request may be served.
    Outage,
}

impl From<RefreshError> for NotObtained {
    fn from(error: RefreshError) -> Self {
        Self { error, kind: Failure::Outage, at_first: None }
    }
}

impl NotObtained {
    /// `grant`: what was presented. No login ends by it, so a refused one is a wrong setting.
    pub(in crate::outbound) fn by_provider(error: EndpointError, grant: &'static str) -> Self {
        let is_refused = *error.kind() == Kind::InvalidGrant;
        let kind = match error.kind() {
            Kind::TryLater { .. } if error.would_repeat() => Failure::Later,
            _ if error.would_repeat() || is_refused => Failure::Refusal,
            _ => Failure::Outage,
        };
        let at_first = error.is_passing().then(|| passing(error.clone()));
        let error = if is_refused {
            let message = format!("the provider does not accept the grant {grant}");
            RefreshError::new(RefreshErrorKind::Misconfigured, message)
                .with_cause(error.into_cause())
        } else {
            endpoint_failed(error)
        };
        Self { error, kind, at_first }
    }

    pub(super) fn expired_at_birth() -> Self {
        let message = "the provider's new token has already expired by our clock";
        let error = RefreshError::new(RefreshErrorKind::InvalidResponse, message);
        Self { error, kind: Failure::Refusal, at_first: None }
    }
}

pub(super) struct Failures {
    clock: Clock,
    last: Mutex<Option<Last>>,
}

struct Last {
    error: RefreshError,
    kind: Failure,
    /// How many of each kind came since the last token.
    rows: [u32; 3],
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
        let mut rows = last.as_ref().map_or([0; 3], |last| last.rows);
        if is_held_back(&failed.error) {
            if last.as_ref().is_none_or(|last| self.rest(last).is_none()) {
                let error = failed.error.clone();
                *last = Some(self.noted(error, Failure::Outage, rows, FIRST_PAUSE));
            }
            return failed.error;
        }
        let row = &mut rows[failed.kind as usize];
        let error = match failed.at_first {
            Some(at_first) if *row == 0 => at_first,
            _ => failed.error,
        };
        let pause = doubled(FIRST_PAUSE, *row, LONGEST_PAUSE);
        *row = row.saturating_add(1);
        *last = Some(self.noted(error.clone(), failed.kind, rows, pause));
        error
    }

    fn noted(&self, error: RefreshError, kind: Failure, rows: [u32; 3], pause: Duration) -> Last {
        let pause = pause.max(error.retry_after().unwrap_or_default());
        Last { error, kind, rows, since: self.clock.moment(), pause }
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
        let last = last.as_ref().filter(|last| last.kind != Failure::Outage)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{endpoint::HeldBack, refresher::errors::unavailable, testing::ManualClock};

    const SECOND: Duration = Duration::from_secs(1);

    fn refusal() -> NotObtained {
        let error = RefreshError::new(RefreshErrorKind::Misconfigured, "refused");
        NotObtained { error, kind: Failure::Refusal, at_first: None }
    }

    fn held_back() -> NotObtained {
        NotObtained::by_provider(HeldBack::RefusedToAll.into_error(None), "client_credentials")
    }

    fn rest(failures: &Failures) -> Option<Duration> {
        failures.lock().as_ref().and_then(|last| failures.rest(last))
    }

    #[test]
    fn refusals_double_the_pause_and_what_was_not_sent_neither_doubles_nor_ends_it() {
        let clock = ManualClock::new();
        let failures = Failures::new(clock.clock());
        for seconds in [1, 2, 4] {
            failures.add(refusal());
            assert_eq!(rest(&failures), Some(SECOND * seconds));
        }
        failures.add(held_back());
        assert_eq!(rest(&failures), Some(SECOND * 4), "the answer is kept for as long as before");
        assert!(failures.kept().is_some());
        clock.advance(SECOND * 4);
        for _ in 0..10 {
            failures.add(held_back());
            assert_eq!(rest(&failures), Some(SECOND));
            clock.advance(SECOND);
        }
        failures.add(refusal());
        assert_eq!(rest(&failures), Some(SECOND * 8));
    }

    #[test]
    fn neither_an_outage_nor_a_later_is_a_refusal_before_the_first_one() {
        let failures = Failures::new(ManualClock::new().clock());
        for _ in 0..5 {
            failures.add(unavailable("down").into());
            let error = unavailable("later");
            failures.add(NotObtained { error, kind: Failure::Later, at_first: None });
        }
        let at_first = Some(unavailable("it may pass"));
        let told = failures.add(NotObtained { at_first, ..refusal() });
        assert_eq!(told.kind(), RefreshErrorKind::Unavailable, "a 503 the first time");
        assert_eq!(rest(&failures), Some(SECOND));
    }
}
