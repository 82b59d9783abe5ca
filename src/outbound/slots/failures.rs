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
        // An outage before a refusal says nothing about the refusal.
        let alike = last.as_ref().filter(|last| last.would_repeat == failed.would_repeat);
        let earlier = alike.map_or(0, |last| last.in_a_row);
        let was_sent = !is_held_back(&failed.error);
        let error = match failed.at_first {
            Some(at_first) if earlier == 0 => *at_first,
            _ => failed.error,
        };
        let asked_for = error.retry_after().unwrap_or_default();
        let pause =
            if was_sent { doubled(FIRST_PAUSE, earlier, LONGEST_PAUSE) } else { FIRST_PAUSE };
        *last = Some(Last {
            error: error.clone(),
            would_repeat: failed.would_repeat,
            in_a_row: earlier.saturating_add(u32::from(was_sent)),
            since: self.clock.moment(),
            pause: pause.max(asked_for),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{endpoint::HeldBack, refresher::errors::unavailable, testing::ManualClock};

    const SECOND: Duration = Duration::from_secs(1);

    fn refusal() -> NotObtained {
        let error = RefreshError::new(RefreshErrorKind::Misconfigured, "refused");
        NotObtained { error, would_repeat: true, at_first: None }
    }

    /// The same answer, from whoever holds the request back.
    fn held_back() -> NotObtained {
        NotObtained::by_provider(HeldBack::RefusedToAll.into_error(None), "client_credentials")
    }

    fn rest(failures: &Failures) -> Option<Duration> {
        failures.lock().as_ref().and_then(|last| failures.rest(last))
    }

    #[test]
    fn refusals_double_the_pause_and_what_was_not_sent_does_not() {
        let failures = Failures::new(ManualClock::new().clock());
        for seconds in [1, 2, 4] {
            failures.add(refusal());
            assert_eq!(rest(&failures), Some(SECOND * seconds));
        }
        for _ in 0..10 {
            failures.add(NotObtained { would_repeat: true, ..held_back() });
            assert_eq!(rest(&failures), Some(SECOND));
        }
        failures.add(refusal());
        assert_eq!(rest(&failures), Some(SECOND * 8));
    }

    #[test]
    fn an_outage_is_no_refusal_before_the_first_one() {
        let failures = Failures::new(ManualClock::new().clock());
        for _ in 0..5 {
            failures.add(unavailable("down").into());
        }
        let at_first = Some(Box::new(unavailable("it may pass")));
        let told = failures.add(NotObtained { at_first, ..refusal() });
        assert_eq!(told.kind(), RefreshErrorKind::Unavailable, "a 503 the first time");
        assert_eq!(rest(&failures), Some(SECOND));
    }
}
