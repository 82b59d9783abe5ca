//! [`DeadTokens`]: refresh tokens that the provider has just rejected with `invalid_grant`.
//!
//! Sending such a token again would get the same answer, and some providers treat it as an attack.

use std::{
    collections::{HashSet, VecDeque},
    fmt,
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};

/// How long to remember a dead token.
const MEMORY: Duration = Duration::from_secs(30);
/// The most tokens to remember, at about 64 bytes each. The oldest go first.
const MOST: usize = 10_000;

/// The SHA-256 of a refresh token. Nobody can craft a token that collides with another user's
/// token and log that user out.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint([u8; 32]);

/// Shows nothing of it.
impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint")
    }
}

impl Fingerprint {
    pub(crate) fn of(token: &str) -> Self {
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(fingerprint)
    }
}

#[derive(Default)]
pub(crate) struct DeadTokens {
    /// In the order they died.
    by_age: VecDeque<(Duration, Fingerprint)>,
    all: HashSet<Fingerprint>,
}

impl DeadTokens {
    pub(crate) fn contains(&mut self, token: &Fingerprint, now: Duration) -> bool {
        self.forget_before(now);
        self.all.contains(token)
    }

    pub(crate) fn insert(&mut self, token: Fingerprint, now: Duration) {
        self.forget_before(now);
        // Two requests may present one token at once. The earlier time stays.
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
        dead.insert(Fingerprint::of("a"), secs(100));
        dead.insert(Fingerprint::of("a"), secs(110));
        assert!(dead.contains(&Fingerprint::of("a"), secs(129)));
        assert!(!dead.contains(&Fingerprint::of("b"), secs(129)));
        assert!(!dead.contains(&Fingerprint::of("a"), secs(130)));
        assert!(
            dead.all.is_empty() && dead.by_age.is_empty(),
            "nothing is kept longer than needed"
        );
    }

    #[test]
    fn the_memory_is_bounded_and_the_oldest_go_first() {
        let mut dead = DeadTokens::default();
        for token in 0..=MOST {
            dead.insert(Fingerprint::of(&token.to_string()), secs(1));
        }
        assert!(!dead.contains(&Fingerprint::of("0"), secs(1)));
        assert!(dead.contains(&Fingerprint::of("1"), secs(1)));
        assert!(dead.contains(&Fingerprint::of(&MOST.to_string()), secs(1)));
        assert_eq!((dead.all.len(), dead.by_age.len()), (MOST, MOST));
    }
}
