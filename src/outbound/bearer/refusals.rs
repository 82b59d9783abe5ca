//! Hosts that refuse new tokens as well: no refresh helps there.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::tokens::{Generation, RecordKey};

/// So many new tokens in a row, and no more are asked for.
const MOST: u32 = 2;
const PAUSE: Duration = Duration::from_secs(60);
/// A row that is older says nothing of the host as it is now.
const LONGEST_ROW: Duration = Duration::from_secs(10 * 60);

/// One for each host.
pub(super) struct Refusals(Vec<Mutex<Refused>>);

#[derive(Clone, Copy, Default)]
struct Refused {
    /// Many requests may have gone out again with it, and count as one.
    last: Option<(RecordKey, Generation)>,
    in_a_row: u32,
    /// The last one, by the monotonic clock.
    at: Duration,
    /// By the monotonic clock.
    until: Duration,
}

impl Refusals {
    pub(super) fn new(hosts: usize) -> Self {
        Self((0..hosts).map(|_| Mutex::default()).collect())
    }

    /// Whether whoever was refused may ask for a newer token. After each pause one caller may. If
    /// its token helps, everybody may again.
    pub(super) fn admit(&self, place: usize, now: Duration) -> bool {
        let mut refused = self.of(place);
        if now.saturating_sub(refused.at) >= LONGEST_ROW {
            *refused = Refused::default();
        }
        if now < refused.until {
            return false;
        }
        if refused.in_a_row >= MOST {
            refused.until = now.saturating_add(PAUSE);
        }
        true
    }

    /// A request went out again with a new token.
    pub(super) fn sent_again(
        &self,
        place: usize,
        token: (RecordKey, Generation),
        is_refused: bool,
        now: Duration,
    ) {
        let mut refused = self.of(place);
        if !is_refused {
            *refused = Refused::default();
        } else if refused.last != Some(token) {
            refused.last = Some(token);
            refused.in_a_row = refused.in_a_row.saturating_add(1);
            refused.at = now;
            if refused.in_a_row >= MOST {
                refused.until = now.saturating_add(PAUSE);
            }
        }
    }

    fn of(&self, place: usize) -> MutexGuard<'_, Refused> {
        self.0[place].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn token(generation: u64) -> (RecordKey, Generation) {
        (RecordKey::from_bytes([1; 16]), Generation(generation))
    }

    /// The first of so many hosts.
    fn refused_twice(hosts: usize) -> Refusals {
        let refusals = Refusals::new(hosts);
        refusals.sent_again(0, token(1), true, SECOND);
        refusals.sent_again(0, token(2), true, SECOND);
        refusals
    }

    #[test]
    fn two_in_a_row_are_two_without_one_that_helped_between_them() {
        let refusals = Refusals::new(1);
        refusals.sent_again(0, token(1), true, SECOND);
        refusals.sent_again(0, token(2), false, SECOND);
        refusals.sent_again(0, token(3), true, SECOND);
        assert!(refusals.admit(0, SECOND));
        refusals.sent_again(0, token(4), true, SECOND);
        assert!(!refusals.admit(0, SECOND * 60) && refusals.admit(0, SECOND * 61));
    }

    #[test]
    fn after_a_pause_one_is_admitted_and_all_if_its_token_helps() {
        let refusals = refused_twice(1);
        assert!(refusals.admit(0, SECOND * 61));
        // The first one may get no answer.
        assert!(!refusals.admit(0, SECOND * 120) && refusals.admit(0, SECOND * 121));
        assert!(!refusals.admit(0, SECOND * 122));
        refusals.sent_again(0, token(3), false, SECOND * 122);
        assert!(refusals.admit(0, SECOND * 122) && refusals.admit(0, SECOND * 122));
    }

    #[test]
    fn what_a_host_refused_long_ago_says_nothing() {
        let refusals = refused_twice(1);
        assert!(refusals.admit(0, SECOND * 600) && !refusals.admit(0, SECOND * 600));
        assert!(refusals.admit(0, SECOND * 601) && refusals.admit(0, SECOND * 601));
    }

    #[test]
    fn one_host_says_nothing_of_another() {
        let refusals = refused_twice(2);
        assert!(!refusals.admit(0, SECOND) && refusals.admit(1, SECOND));
    }
}
