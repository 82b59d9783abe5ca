//! Refresh tokens the provider has said `invalid_grant` to, remembered for a while: asking again would get the same answer, and some
//! providers take it for an attack.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};

/// How long a dead token is remembered.
const MEMORY: Duration = Duration::from_secs(30);
/// How many are remembered at the most, 64 bytes each; the oldest go first.
const MOST: usize = 10_000;

/// A refresh token's SHA-256: nobody can find a token that collides with another's, which would log its user out. No `Debug`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(super) fn of(token: &str) -> Self {
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(fingerprint)
    }
}

#[derive(Default)]
pub(super) struct DeadTokens {
    /// In the order they died.
    by_age: VecDeque<(Duration, Fingerprint)>,
    all: HashSet<Fingerprint>,
}

impl DeadTokens {
    pub(super) fn is_dead(&mut self, token: &Fingerprint, now: Duration) -> bool {
        self.forget_before(now);
        self.all.contains(token)
    }

    pub(super) fn note(&mut self, token: Fingerprint, now: Duration) {
        self.forget_before(now);
        // Known already: two that presented it at once. The earlier time stays.
        if !self.all.insert(token) {
            return;
        }
        self.by_age.push_back((now, token));
        if self.by_age.len() > MOST {
            self.forget_oldest();
        }
    }

    fn forget_before(&mut self, now: Duration) {
        while self.by_age.front().is_some_and(|(died, _)| now.saturating_sub(*died) >= MEMORY) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, token)) = self.by_age.pop_front() {
            self.all.remove(&token);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_token_is_dead_for_30_s_and_no_other_is() {
        let mut dead = DeadTokens::default();
        dead.note(Fingerprint::of("a"), secs(100));
        dead.note(Fingerprint::of("a"), secs(110));
        assert!(dead.is_dead(&Fingerprint::of("a"), secs(129)));
        assert!(!dead.is_dead(&Fingerprint::of("b"), secs(129)));
        assert!(!dead.is_dead(&Fingerprint::of("a"), secs(130)));
        assert!(
            dead.all.is_empty() && dead.by_age.is_empty(),
            "nothing is kept longer than it counts"
        );
    }

    #[test]
    fn the_memory_is_bounded_and_the_oldest_go_first() {
        let mut dead = DeadTokens::default();
        for token in 0..=MOST {
            dead.note(Fingerprint::of(&token.to_string()), secs(1));
        }
        assert!(!dead.is_dead(&Fingerprint::of("0"), secs(1)));
        assert!(dead.is_dead(&Fingerprint::of("1"), secs(1)));
        assert!(dead.is_dead(&Fingerprint::of(&MOST.to_string()), secs(1)));
        assert_eq!((dead.all.len(), dead.by_age.len()), (MOST, MOST));
    }
}
