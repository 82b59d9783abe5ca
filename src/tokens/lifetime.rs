//! How long an access token is good: one rule, for whoever asks.

use std::time::{Duration, SystemTime};

/// No lifetime counts for more than 100 years, so that adding it to a time cannot overflow.
pub(super) const LONGEST_LIFE: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// When an access token was obtained, and when it expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lifetime {
    pub(crate) obtained_at: SystemTime,
    pub(crate) expires_at: SystemTime,
}

/// What says how long an access token is good.
pub(crate) struct LifetimeSources {
    /// By the application.
    pub(crate) told: Option<SystemTime>,
    /// By the token response.
    pub(crate) expires_in: Option<Duration>,
    /// By the token itself, if it is a JWT: its `exp`.
    pub(crate) jwt: Option<SystemTime>,
    /// Where nothing says it. None: until an API refuses the token.
    pub(crate) fallback: Option<Duration>,
}

impl LifetimeSources {
    /// The earlier of `expires_in` and `exp` counts: some providers answer with a token from a
    /// cache and with the life that it had when it was new. But an `exp` that was over at birth, by
    /// our clock, does not count against an `expires_in`: our clock may be wrong. And an `exp` over
    /// 100 years ahead is not in seconds, so it says nothing.
    pub(crate) fn expires_at(&self, obtained_at: SystemTime) -> SystemTime {
        let by_answer = self.expires_in.map(|life| saturating_add(obtained_at, life));
        let latest = saturating_add(obtained_at, LONGEST_LIFE);
        let by_token = self.jwt.filter(|exp| *exp <= latest);
        let by_token = by_token.filter(|exp| by_answer.is_none() || *exp > obtained_at);
        let said = by_answer.into_iter().chain(by_token).min();
        let fallback = || saturating_add(obtained_at, self.fallback.unwrap_or(Duration::MAX));
        self.told.or(said).unwrap_or_else(fallback)
    }
}

/// How an access token stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Fresh,
    /// Near enough to its expiry to be refreshed in the background; good until then.
    DueSoon,
    /// Or about to expire, within the leeway.
    Expired,
}

impl Lifetime {
    /// From one end to the other.
    pub(crate) fn whole(self) -> Duration {
        self.expires_at.duration_since(self.obtained_at).unwrap_or_default()
    }

    /// How the access token stands at `now`. The leeway shrinks to a quarter of the token's life,
    /// so that a token that lives for seconds is not expired at birth; `refresh_ahead` shrinks to
    /// half of it. `share`, from 0 to 1, picks the moment within the first half of that window.
    pub(crate) fn standing_at(
        self,
        now: SystemTime,
        leeway: Duration,
        refresh_ahead: Duration,
        share: impl FnOnce() -> f64,
    ) -> Standing {
        if self.is_long_fresh_at(now, leeway, refresh_ahead) {
            return Standing::Fresh;
        }
        if !self.is_good_at(now, leeway) {
            return Standing::Expired;
        }
        let half = refresh_ahead.min(self.whole() / 2) / 2;
        let left = self.expires_at.duration_since(now).unwrap_or_default();
        if left > half * 2 || left > half + half.mul_f64(share()) {
            return Standing::Fresh;
        }
        Standing::DueSoon
    }

    /// Whether one comparison says that it is fresh, as for nearly all requests: the leeway and the
    /// window only shrink.
    #[inline]
    pub(crate) fn is_long_fresh_at(
        self,
        now: SystemTime,
        leeway: Duration,
        refresh_ahead: Duration,
    ) -> bool {
        saturating_add(now, leeway.max(refresh_ahead)) < self.expires_at
    }

    /// Whether the access token can still be used at `now`.
    pub(crate) fn is_good_at(self, now: SystemTime, leeway: Duration) -> bool {
        saturating_add(now, leeway.min(self.whole() / 4)) < self.expires_at
    }
}

/// `SystemTime` has an end; a lifetime beyond it means "does not expire in practice".
pub(crate) fn saturating_add(time: SystemTime, by: Duration) -> SystemTime {
    time.checked_add(by.min(LONGEST_LIFE)).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// Of a token that was obtained at 1000.
    fn expires(told: Option<u64>, expires_in: Option<u64>, jwt: Option<u64>) -> SystemTime {
        let (told, jwt) = (told.map(at), jwt.map(at));
        let expires_in = expires_in.map(Duration::from_secs);
        let fallback = Some(Duration::from_secs(3600));
        LifetimeSources { told, expires_in, jwt, fallback }.expires_at(at(1000))
    }

    #[test]
    fn the_earlier_of_expires_in_and_exp_counts() {
        assert_eq!(expires(None, Some(60), Some(1300)), at(1060));
        assert_eq!(expires(None, Some(300), Some(1060)), at(1060), "an answer from a cache");
        assert_eq!(expires(None, Some(300), None), at(1300));
        assert_eq!(expires(None, None, Some(1060)), at(1060));
        assert_eq!(expires(Some(1010), Some(300), Some(1060)), at(1010), "the application's word");
    }

    #[test]
    fn an_exp_that_was_over_at_birth_counts_only_alone() {
        assert_eq!(expires(None, Some(300), Some(1000)), at(1300));
        assert_eq!(expires(None, None, Some(900)), at(900));
        assert_eq!(expires(None, Some(0), Some(1300)), at(1000), "expires_in says so");
    }

    #[test]
    fn an_exp_in_milliseconds_says_nothing() {
        assert_eq!(expires(None, None, Some(1_764_000_000_000)), at(4600));
        assert_eq!(expires(None, Some(300), Some(1_764_000_000_000)), at(1300));
    }

    #[test]
    fn where_nothing_says_it_the_fallback_counts_or_an_api_must_say_it() {
        assert_eq!(expires(None, None, None), at(4600));
        let nothing = LifetimeSources { told: None, expires_in: None, jwt: None, fallback: None };
        assert!(nothing.expires_at(at(1000)) > at(1000 + 50 * 365 * 24 * 3600));
    }
}
