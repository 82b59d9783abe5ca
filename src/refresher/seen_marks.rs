//! The marks of others: for how long they must be respected.

use std::time::{Duration, SystemTime};

use dashmap::DashMap;
use rustc_hash::FxBuildHasher;

use crate::{
    clock::{Clock, Moment},
    token_store::Nonce,
    tokens::RecordKey,
};

/// For this long a mark must stay the same before somebody else's refresh counts as lost: longer
/// than an unsaved set waits to be written. Nobody must have looked away for that long meanwhile,
/// or found that the store was down: the set may be waiting for the end of just that outage.
pub(super) const BETWEEN_LOOKS: Duration = Duration::from_secs(5);
/// How many logins' marks are remembered. The mark in the store tells the rest.
const REMEMBERED: usize = 100_000;

/// What this process has seen of the marks of others.
pub(super) struct SeenMarks {
    by_login: DashMap<RecordKey, SeenMark, FxBuildHasher>,
    clock: Clock,
    deadline: Duration,
}

/// A mark that somebody else set.
#[derive(Clone, Copy)]
struct SeenMark {
    nonce: Nonce,
    /// By the monotonic clock: a wall clock that jumps forward would take two looks at one moment
    /// for looks that are far apart.
    first: Duration,
    /// How old the mark was then.
    age: Duration,
    /// Since when it was looked at without a gap.
    steady: Duration,
    last: Moment,
    /// It was counted as overdue.
    is_counted: bool,
}

impl SeenMarks {
    pub(super) fn new(clock: Clock, deadline: Duration) -> Self {
        Self { by_login: DashMap::default(), clock, deadline }
    }

    /// For how long the mark of somebody else must be respected.
    pub(super) fn look(
        &self,
        key: RecordKey,
        nonce: Nonce,
        since: SystemTime,
        now: SystemTime,
    ) -> Duration {
        // A mark from the future ages from when it is first seen.
        let age = now.duration_since(since).unwrap_or_default();
        let last = self.clock.moment();
        let (first, steady) = (last.monotonic, last.monotonic);
        let seen_now = SeenMark { nonce, first, age, steady, last, is_counted: false };
        self.bound();
        let mut seen = self.by_login.entry(key).or_insert(seen_now);
        if seen.nonce != nonce {
            *seen = seen_now;
        } else if last.since(seen.last) > BETWEEN_LOOKS {
            seen.steady = steady;
        }
        seen.last = last;
        // Not by the store's clock again: it may have been set forward since.
        let age = seen.age + self.seen_for(&seen);
        let steady_for = last.monotonic.saturating_sub(seen.steady);
        self.deadline.saturating_sub(age).max(BETWEEN_LOOKS.saturating_sub(steady_for))
    }

    /// Whether the mark of `nonce`, which is overdue, has not been counted yet. Says so once.
    pub(super) fn take_uncounted(&self, key: RecordKey, nonce: Nonce) -> bool {
        let seen = self.by_login.get_mut(&key).filter(|seen| seen.nonce == nonce);
        seen.is_some_and(|mut seen| !std::mem::replace(&mut seen.is_counted, true))
    }

    /// For how long somebody else's refresh may still be under way.
    pub(super) fn rest(&self, key: RecordKey) -> Option<Duration> {
        let seen = self.by_login.get(&key)?;
        let rest = self.deadline.checked_sub(seen.age + self.seen_for(&seen))?;
        Some(rest).filter(|rest| !rest.is_zero())
    }

    fn seen_for(&self, seen: &SeenMark) -> Duration {
        self.clock.monotonic().saturating_sub(seen.first)
    }

    /// The token store has failed: whoever set the mark that it holds may have tokens that wait for
    /// the end of just that outage, so the looks at it begin again.
    pub(super) fn look_again(&self, key: RecordKey) {
        if let Some(mut seen) = self.by_login.get_mut(&key) {
            seen.steady = self.clock.monotonic();
        }
    }

    pub(super) fn forget(&self, key: RecordKey) {
        self.by_login.remove(&key);
    }

    fn bound(&self) {
        if self.by_login.len() > REMEMBERED {
            self.by_login.clear();
        }
    }
}

#[cfg(test)]
impl SeenMarks {
    pub(super) fn is_empty(&self) -> bool {
        self.by_login.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.by_login.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ManualClock;

    #[test]
    fn an_overdue_mark_is_counted_once() {
        let marks = SeenMarks::new(ManualClock::new().clock(), Duration::ZERO);
        let key = RecordKey::from_bytes([7; 16]);
        let (first, second, now) = (Nonce::random(), Nonce::random(), SystemTime::UNIX_EPOCH);
        marks.look(key, first, now, now);
        assert!(marks.take_uncounted(key, first));
        marks.look(key, first, now, now);
        assert!(!marks.take_uncounted(key, first));
        marks.look(key, second, now, now);
        assert!(marks.take_uncounted(key, second));
        assert!(!marks.take_uncounted(key, first), "it has gone");
    }
}
