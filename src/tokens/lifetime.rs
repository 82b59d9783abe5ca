//! How long an access token is good: one rule, for whoever asks.

use std::time::{Duration, SystemTime};

/// When an access token was obtained, and when it expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lifetime {
    pub(crate) obtained_at: SystemTime,
    pub(crate) expires_at: SystemTime,
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
        // Nearly all requests end here: the leeway and the window only shrink.
        if saturating_add(now, leeway.max(refresh_ahead)) < self.expires_at {
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

    /// Whether the access token can still be used at `now`.
    pub(crate) fn is_good_at(self, now: SystemTime, leeway: Duration) -> bool {
        saturating_add(now, leeway.min(self.whole() / 4)) < self.expires_at
    }
}

/// `SystemTime` has an end; a lifetime beyond it means "does not expire in practice".
pub(crate) fn saturating_add(time: SystemTime, by: Duration) -> SystemTime {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    time.checked_add(by.min(CENTURY)).unwrap_or(time)
}
