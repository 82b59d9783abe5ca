//! [`RateLimited`]: whom the provider has asked to come back later (429).
//!
//! What it answers to one login holds back that login. Answered to three in a row within 10 s, it is
//! meant for all. A login that is served in between shows that it is not.

use std::{mem::take, time::Duration};

use super::{Fingerprint, SEVERAL};

const WINDOW: Duration = Duration::from_secs(10);

#[derive(Default)]
pub(crate) struct RateLimited(Vec<(Fingerprint, Duration)>);

impl RateLimited {
    /// Notes that the login of `token` was answered so. True if it is meant for all.
    pub(crate) fn add(&mut self, token: Fingerprint, now: Duration) -> bool {
        let is_recent = |at: Duration| now.saturating_sub(at) < WINDOW;
        let others = take(&mut self.0).into_iter();
        self.0 = others.filter(|(other, at)| *other != token && is_recent(*at)).collect();
        self.0.push((token, now));
        if self.0.len() > SEVERAL {
            self.0.remove(0);
        }
        self.0.len() == SEVERAL
    }

    /// A login was served.
    pub(crate) fn served(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(limited: &mut RateLimited, login: u8, seconds: u64) -> bool {
        limited.add(Fingerprint::of(&login.to_string()), Duration::from_secs(seconds))
    }

    #[test]
    fn three_logins_within_10_s_are_all() {
        let mut limited = RateLimited::default();
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
            assert_eq!(add(&mut limited, login, at), all, "{login} at {at}");
        }
    }

    #[test]
    fn a_login_that_is_served_in_between_shows_that_it_is_not_meant_for_all() {
        let mut limited = RateLimited::default();
        assert!(!add(&mut limited, 1, 0) && !add(&mut limited, 2, 0));
        limited.served();
        assert!(!add(&mut limited, 3, 0) && !add(&mut limited, 4, 0));
        assert!(add(&mut limited, 5, 0));
    }
}
