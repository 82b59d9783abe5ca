//! [`ToldLater`]: whom the provider has told to come back later (429).
//!
//! What it tells one login holds back that login. Told to three within 10 s, it is meant for all.

use std::{mem::take, time::Duration};

use super::Fingerprint;

const SEVERAL: usize = 3;
const WINDOW: Duration = Duration::from_secs(10);

#[derive(Default)]
pub(crate) struct ToldLater(Vec<(Fingerprint, Duration)>);

impl ToldLater {
    /// Notes that `login` was told so. True if it is meant for all.
    pub(crate) fn add(&mut self, login: Fingerprint, now: Duration) -> bool {
        let is_recent = |at: Duration| now.saturating_sub(at) < WINDOW;
        let others = take(&mut self.0).into_iter();
        self.0 = others.filter(|(other, at)| *other != login && is_recent(*at)).collect();
        self.0.push((login, now));
        if self.0.len() > SEVERAL {
            self.0.remove(0);
        }
        self.0.len() == SEVERAL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(told: &mut ToldLater, login: u8, seconds: u64) -> bool {
        told.add(Fingerprint::of(&login.to_string()), Duration::from_secs(seconds))
    }

    #[test]
    fn three_logins_within_10_s_are_all() {
        let mut told = ToldLater::default();
        for (login, at, all) in [
            (1, 0, false),
            (1, 1, false),
            (1, 2, false),
            (2, 3, false),
            (3, 11, true),
            (4, 12, true),
            (5, 20, true),
            (6, 40, false),
            (6, 41, false),
            (7, 42, false),
            (8, 51, false),
        ] {
            assert_eq!(add(&mut told, login, at), all, "{login} at {at}");
        }
    }
}
