//! Refreshes that did not bring a new set: when to try again, and whether the refresh token may be used up.

use std::time::Duration;

use super::{Grant, Ledger};
use crate::grant::{Generation, GrantId, spread};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What went wrong with the refresh of one generation so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setback {
    generation: Generation,
    failures: u32,
    /// On the monotonic clock.
    pub(crate) not_before: Duration,
    /// The refresh token was presented, and no usable answer came: nobody knows whether the provider has used it up.
    pub(crate) ambiguous: bool,
    /// The same of the presentations before the last one: a clear answer to that one does not answer those.
    ambiguous_before: bool,
}

impl Ledger {
    /// The refresh token of `generation` is about to be presented. Noted before: whatever becomes of the flight, a panic included, the
    /// outcome is unknown until [`answered`](Self::answered).
    pub(crate) fn presenting(&self, grant: GrantId, generation: Generation) {
        let mut known = self.touch(grant);
        let setback = self.set_back(&mut known, grant, generation);
        setback.ambiguous_before = setback.ambiguous;
        setback.ambiguous = true;
    }

    /// The provider has answered so that this presentation is known not to have used the refresh token up.
    pub(crate) fn answered(&self, grant: GrantId) {
        if let Some(setback) = self.touch(grant).setback.as_mut() {
            setback.ambiguous = setback.ambiguous_before;
        }
    }

    /// The refresh token was not presented after all. Whoever was refused before a request is no nearer to a longer pause.
    pub(crate) fn not_presented(&self, grant: GrantId) {
        let now = self.clock.monotonic();
        if let Some(setback) = self.touch(grant).setback.as_mut() {
            setback.ambiguous = setback.ambiguous_before;
            setback.failures = setback.failures.saturating_sub(1);
            setback.not_before = now;
        }
    }

    /// A refresh of `generation` failed before its request. That says nothing of a newer set, which it may not have come to see.
    pub(crate) fn put_off(&self, grant: GrantId, generation: Generation) {
        let mut known = self.touch(grant);
        if known.setback.is_none_or(|setback| setback.generation <= generation) {
            self.set_back(&mut known, grant, generation);
        }
    }

    /// The provider said how long to wait.
    pub(crate) fn hold_off(&self, grant: GrantId, at_least: Duration) {
        let earliest = self.clock.monotonic().saturating_add(at_least);
        if let Some(setback) = self.touch(grant).setback.as_mut() {
            setback.not_before = setback.not_before.max(earliest);
        }
    }

    /// What went wrong with the refresh of `generation` so far.
    pub(crate) fn setback(&self, grant: GrantId, generation: Generation) -> Option<Setback> {
        self.grants.get(&grant)?.setback.filter(|setback| setback.generation == generation)
    }

    fn set_back<'a>(
        &self,
        known: &'a mut Grant,
        grant: GrantId,
        generation: Generation,
    ) -> &'a mut Setback {
        let before = known.setback.filter(|setback| setback.generation == generation);
        let failures = before.map_or(0, |setback| setback.failures).saturating_add(1);
        let not_before = self.clock.monotonic().saturating_add(pause(grant, generation, failures));
        let ambiguous = before.is_some_and(|setback| setback.ambiguous);
        let ambiguous_before = ambiguous;
        known.setback.insert(Setback {
            generation,
            failures,
            not_before,
            ambiguous,
            ambiguous_before,
        })
    }
}

impl Grant {
    /// Nobody else remembers that a refresh token may be used up.
    pub(super) fn is_ambiguous(&self) -> bool {
        self.setback.is_some_and(|setback| setback.ambiguous)
    }
}

/// Doubles from one second to a minute. Up to half of it is taken off, so that what failed together is not tried again together.
pub(crate) fn pause(grant: GrantId, generation: Generation, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(6);
    let whole = (FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE);
    whole.mul_f64(1.0 - spread((grant, generation.0, failures)) / 2.0)
}
