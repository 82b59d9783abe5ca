//! The times that govern a refresh.

use std::time::Duration;

use crate::error::ConfigError;

/// As long as anything here may be kept waiting, whatever the settings add up to.
const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// A login that ended elsewhere is served for as long as this at the most.
const LONGEST_UNCONFIRMED: Duration = Duration::from_secs(60 * 60);
/// What the deadline of a mark allows for beside the request and the write.
const SLACK: Duration = Duration::from_secs(5);
/// How long it may take to set a mark.
pub(crate) const LONGEST_MARKING: Duration = Duration::from_secs(2);
/// How long a flight waits for the keys to verify a refreshed ID token by. With the time to set a mark
/// it leaves a second of the slack for clocks that differ.
pub(crate) const LONGEST_VERIFYING: Duration = Duration::from_secs(2);
/// A store that fails over may come back without what it was told within about this time.
const LAST_WRITES_STAY: Duration = Duration::from_secs(90);

/// How early a token counts as expired, and how long each step of a refresh may take.
///
/// ```
/// use std::time::Duration;
/// use tower_token_refresh::RefreshPolicy;
///
/// let policy = RefreshPolicy::default()
///     .leeway(Duration::from_secs(10))
///     .store_timeout(Duration::from_secs(5));
/// ```
///
/// | setting | default | range |
/// |---|---|---|
/// | [`leeway`](Self::leeway) | 5 s | any; shrinks to a quarter of a token's life |
/// | [`refresh_ahead`](Self::refresh_ahead) | 60 s | any; shrinks to half of a token's life; 0 turns it off |
/// | [`confirm_after`](Self::confirm_after) | 60 s | at most 1 h; 0: before every request |
/// | [`wait_timeout`](Self::wait_timeout) | 10 s | above 0 |
/// | [`on_unavailable`](Self::on_unavailable) | [`OnUnavailable::Refuse`] | |
/// | [`replay`](Self::replay) | true | |
/// | [`fallback_lifetime`](Self::fallback_lifetime) | 60 s | above 0 |
/// | [`store_timeout`](Self::store_timeout) | 10 s | above 0 |
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefreshPolicy {
    pub(crate) leeway: Duration,
    pub(crate) refresh_ahead: Duration,
    pub(crate) confirm_after: Duration,
    pub(crate) wait_timeout: Duration,
    pub(crate) on_unavailable: OnUnavailable,
    pub(crate) replay: bool,
    pub(crate) fallback_lifetime: Duration,
    pub(crate) store_timeout: Duration,
}

/// What a request gets whose access token has expired while no new one can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnUnavailable {
    /// 503 with `Retry-After`.
    #[default]
    Refuse,
    /// The expired token, marked [stale](crate::AccessToken::is_stale): for an API that lets expired tokens pass, or a handler
    /// that can do without.
    ServeExpired {
        /// How long after the token's expiry at the most.
        for_at_most: Duration,
    },
}

impl Default for RefreshPolicy {
    fn default() -> Self {
        Self {
            leeway: Duration::from_secs(5),
            refresh_ahead: Duration::from_secs(60),
            confirm_after: Duration::from_secs(60),
            wait_timeout: Duration::from_secs(10),
            on_unavailable: OnUnavailable::Refuse,
            replay: true,
            fallback_lifetime: Duration::from_secs(60),
            store_timeout: Duration::from_secs(10),
        }
    }
}

impl RefreshPolicy {
    /// How long before its expiry an access token counts as expired: for the way to the API and for
    /// clocks that differ. Never more than a quarter of the token's life, so that a token that lives 4 s
    /// is served for 3 s. Requests that come later than that wait for a refresh; should it fail while the
    /// token has not expired yet, they go on with the token, unless the login has ended.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// How long before its expiry an access token is refreshed in the background, by the first request
    /// that comes within this window; that request and all others go on with the token they have. Never
    /// more than half of the token's life; each token of each login begins its window at a moment of its
    /// own, in the first half, so that logins made together are not refreshed together. A user who comes
    /// by in that time notices nothing of a provider that is down for less than half of this. Without
    /// effect where it is not longer than [`leeway`](Self::leeway); 0 turns it off.
    #[must_use]
    pub fn refresh_ahead(mut self, window: Duration) -> Self {
        self.refresh_ahead = window;
        self
    }

    /// How long a cached token is served before its record is read again. Another process that ends the
    /// login is noticed within this time. From half of it on, the record is read in the background; a
    /// request that comes later than all of it waits for the read.
    #[must_use]
    pub fn confirm_after(mut self, age: Duration) -> Self {
        self.confirm_after = age;
        self
    }

    /// How long a request waits for a refresh, whoever started it, before it gives up with
    /// [`WaitTimeout`](crate::RefreshErrorKind::WaitTimeout). The refresh goes on without it and loses
    /// nothing.
    #[must_use]
    pub fn wait_timeout(mut self, limit: Duration) -> Self {
        self.wait_timeout = limit;
        self
    }

    /// What a request gets whose access token has expired while the provider cannot be asked.
    #[must_use]
    pub fn on_unavailable(mut self, what: OnUnavailable) -> Self {
        self.on_unavailable = what;
        self
    }

    /// Whether a refresh token is presented again whose last presentation had no usable answer, once the
    /// access token has expired.
    ///
    /// Nobody knows then whether the provider has used it up. At a provider that punishes reuse,
    /// presenting it once more may end the login; not presenting it ends the login for certain. So it is
    /// done, by default: never while the old access token is good (its punishment would kill that too),
    /// one at a time, after 1 s, 2 s and so on up to 60 s, until the provider gives a clear answer.
    /// Requests in between get `Unavailable`. Without replay the login ends as `SessionExpired`.
    #[must_use]
    pub fn replay(mut self, replay: bool) -> Self {
        self.replay = replay;
        self
    }

    /// How long an access token lives if neither `expires_in` (RFC 6749 section 5.1) nor a JWT's `exp`
    /// says so.
    #[must_use]
    pub fn fallback_lifetime(mut self, lifetime: Duration) -> Self {
        self.fallback_lifetime = lifetime;
        self
    }

    /// How long the token store may take for one call. New tokens and ends of logins that it does not
    /// take within that time are kept in memory and tried again; whatever else it does not do in time
    /// fails.
    #[must_use]
    pub fn store_timeout(mut self, limit: Duration) -> Self {
        self.store_timeout = limit;
        self
    }

    /// How old the mark of a refresh may be and still hold everybody else off: one request to the
    /// provider, the write that follows, and some slack.
    pub(crate) fn mark_deadline(&self, request_timeout: Duration) -> Duration {
        request_timeout.saturating_add(self.store_timeout).saturating_add(SLACK)
    }

    /// Longer than any flight runs: it waits for the marks of others, asks the provider, and waits for
    /// the token store some ten times. A flight that is stuck ends, as each step has a limit.
    pub(crate) fn longest_flight(
        &self,
        longest_refresh: Duration,
        mark_deadline: Duration,
    ) -> Duration {
        let store = self.store_timeout.saturating_mul(12);
        let waits = longest_refresh.saturating_add(mark_deadline.saturating_mul(3));
        store.saturating_add(waits).saturating_mul(2).min(A_DAY)
    }

    /// How long the last writes are remembered: a token that a store has lost is noticed when it is next
    /// confirmed.
    pub(crate) fn last_writes_stay(&self) -> Duration {
        LAST_WRITES_STAY.max(self.confirm_after + self.confirm_after / 2)
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        for (what, value) in [
            ("fallback_lifetime", self.fallback_lifetime),
            ("wait_timeout", self.wait_timeout),
            ("store_timeout", self.store_timeout),
        ] {
            if value.is_zero() {
                let (value, rule) = (format!("{value:?}"), "it must be longer than 0 s");
                return Err(ConfigError::Range { what, value, rule });
            }
        }
        if self.confirm_after > LONGEST_UNCONFIRMED {
            return Err(ConfigError::Range {
                what: "confirm_after",
                value: format!("{:?}", self.confirm_after),
                rule: "it must be at most 1 h: a login that ended elsewhere is served for that long",
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_mark_holds_others_off_for_one_request_and_its_write() {
        let policy = RefreshPolicy::default();
        assert_eq!(policy.mark_deadline(15 * SECOND), (15 + 10 + 5) * SECOND);
    }

    #[test]
    fn a_flight_is_registered_for_longer_than_everything_it_waits_for() {
        let policy = RefreshPolicy::default();
        let mark = policy.mark_deadline(15 * SECOND);
        assert!(
            policy.longest_flight(30 * SECOND, mark) > 30 * SECOND + 2 * mark + 10 * 10 * SECOND
        );
    }

    #[test]
    fn settings_without_bounds_still_make_a_time_that_a_cache_can_hold() {
        let policy = RefreshPolicy::default().store_timeout(Duration::MAX);
        assert_eq!(policy.longest_flight(Duration::MAX, Duration::MAX), A_DAY);
    }

    #[test]
    fn last_writes_stay_longer_than_a_token_goes_unconfirmed() {
        for confirm_after in [0, 60, 90, 3600] {
            let policy = RefreshPolicy::default().confirm_after(confirm_after * SECOND);
            assert!(policy.last_writes_stay() > policy.confirm_after);
            assert!(policy.last_writes_stay() >= LAST_WRITES_STAY);
        }
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        let message = |policy: RefreshPolicy| policy.validate().expect_err("refused").to_string();
        let policy = RefreshPolicy::default;
        assert_eq!(policy().validate(), Ok(()));
        let rule = "is 0ns: it must be longer than 0 s";
        assert_eq!(
            message(policy().fallback_lifetime(Duration::ZERO)),
            format!("fallback_lifetime {rule}")
        );
        assert_eq!(message(policy().wait_timeout(Duration::ZERO)), format!("wait_timeout {rule}"));
        assert_eq!(
            message(policy().store_timeout(Duration::ZERO)),
            format!("store_timeout {rule}")
        );
        let long = message(policy().confirm_after(3601 * SECOND));
        assert!(long.starts_with("confirm_after is 3601s: it must be at most 1 h"), "{long}");
    }
}
