//! The times that govern a refresh.

use std::time::Duration;

use crate::error::ConfigError;

/// Nothing waits longer than this, whatever the settings add up to; and no time-out is longer, so
/// that all of them can be added up.
pub(crate) const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest that a process may serve a login that ended in another one.
const LONGEST_UNCONFIRMED: Duration = Duration::from_secs(60 * 60);
/// What the deadline of a mark allows for beside the request and the write.
const SLACK: Duration = Duration::from_secs(5);
/// How long it may take to set a mark.
pub(crate) const LONGEST_MARKING: Duration = Duration::from_secs(2);
/// How long a flight waits for the keys to verify a refreshed ID token by. With the time to set a
/// mark it leaves a second of the slack for clocks that differ.
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
/// | [`wait_timeout`](Self::wait_timeout) | 10 s | above 0, at most 1 day |
/// | [`on_unavailable`](Self::on_unavailable) | [`OnUnavailable::Refuse`] | |
/// | [`replay`](Self::replay) | true | |
/// | [`end_after_rejections`](Self::end_after_rejections) | 3 | 0: never |
/// | [`fallback_lifetime`](Self::fallback_lifetime) | 1 h | above 0 |
/// | [`store_timeout`](Self::store_timeout) | 10 s | above 0, at most 1 day |
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefreshPolicy {
    pub(crate) leeway: Duration,
    pub(crate) refresh_ahead: Duration,
    pub(crate) confirm_after: Duration,
    pub(crate) wait_timeout: Duration,
    pub(crate) on_unavailable: OnUnavailable,
    pub(crate) replay: bool,
    pub(crate) end_after_rejections: u32,
    pub(crate) fallback_lifetime: Duration,
    pub(crate) store_timeout: Duration,
}

/// What a request gets if its access token has expired and no new one can be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnUnavailable {
    /// 503 with `Retry-After`.
    #[default]
    Refuse,
    /// The expired token, marked [stale](crate::AccessToken::is_stale). For an API that accepts
    /// expired tokens, or a handler that can work without one.
    ServeExpired {
        /// For at most this long after the token has expired.
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
            end_after_rejections: 3,
            fallback_lifetime: Duration::from_secs(60 * 60),
            store_timeout: Duration::from_secs(10),
        }
    }
}

impl RefreshPolicy {
    /// Sets how long before its expiry an access token counts as expired. The leeway covers the way
    /// to the API and clocks that differ. It is never more than a quarter of the token's life, so a
    /// token that lives 4 s is served for 3 s.
    ///
    /// A request within the leeway waits for a refresh. If the refresh fails and the token has not
    /// expired yet, the request goes on with it, unless the login has ended.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Sets how long before its expiry an access token is refreshed in the background. The first
    /// request within this window starts the refresh, and all requests go on with the token that
    /// they have. No user then notices a provider that is down for less than half of the window.
    ///
    /// The window is never more than half of the token's life. It starts at a different moment for
    /// each token, within its first half, so that logins made together are not refreshed together.
    /// A window that is not longer than the [`leeway`](Self::leeway) has no effect; 0 turns it off.
    #[must_use]
    pub fn refresh_ahead(mut self, window: Duration) -> Self {
        self.refresh_ahead = window;
        self
    }

    /// Sets how long a cached token is served before its record is read again. A login that another
    /// process has ended is noticed within this time. After half of it the record is read in the
    /// background; after all of it a request waits for the read.
    #[must_use]
    pub fn confirm_after(mut self, age: Duration) -> Self {
        self.confirm_after = age;
        self
    }

    /// Sets how long a request waits for a refresh, whoever started it. Then it fails with
    /// [`WaitTimeout`](crate::RefreshErrorKind::WaitTimeout), and the refresh goes on without it.
    ///
    /// A request also waits for the token record no longer than this. After that it goes on with
    /// the cached token, or fails with [`Unavailable`](crate::RefreshErrorKind::Unavailable) if
    /// there is none. At most 1 day.
    #[must_use]
    pub fn wait_timeout(mut self, limit: Duration) -> Self {
        self.wait_timeout = limit;
        self
    }

    /// Sets what a request gets if its access token has expired and the provider cannot be reached.
    #[must_use]
    pub fn on_unavailable(mut self, what: OnUnavailable) -> Self {
        self.on_unavailable = what;
        self
    }

    /// Sets whether a refresh token is presented again if its last presentation had no usable
    /// answer.
    ///
    /// Nobody knows then whether the provider has used it up. At a provider that punishes reuse,
    /// presenting it again may end the login. Not presenting it ends the login for certain, as soon
    /// as the access token has expired. So by default it is presented again, but only after the
    /// access token has expired, because the punishment would end that token, too. One request at a
    /// time goes out, after 1 s, 2 s and so on up to 60 s, until the provider gives a clear answer.
    /// Requests in between get `Unavailable`. Without replay the login ends as `SessionExpired`.
    #[must_use]
    pub fn replay(mut self, replay: bool) -> Self {
        self.replay = replay;
        self
    }

    /// Sets after how many answers in a row that may mean "this refresh token is dead" a login ends.
    ///
    /// Some providers say so in words of their own: `invalid_request`, a code that nobody
    /// registered, a 4xx without any, a 5xx, or a success without tokens. The same answers come
    /// from a provider in trouble, and for a wrong setting. So a login ends by them only if so many
    /// came in a row, over at least 30 s, if the provider has refreshed another login of this
    /// process since the first one, and if such answers do not pass: for each refresh of the last
    /// ten minutes that came after one, twenty came without since. Or after 24 h of nothing else. And not before its access token has expired. With
    /// 0 it never does.
    ///
    /// [`TokenEndpoint::classify`](crate::TokenEndpoint::classify) tells this crate such words, and
    /// then one answer is enough.
    #[must_use]
    pub fn end_after_rejections(mut self, answers: u32) -> Self {
        self.end_after_rejections = answers;
        self
    }

    /// Sets after how long an access token is refreshed if neither `expires_in` (RFC 6749, section
    /// 5.1) nor the `exp` of a JWT says how long it lives. If an API refuses it earlier, ask for a
    /// [newer one](crate::TokenRefresher::newer_token). Without a refresh token, such an access token
    /// is served until the login ends.
    #[must_use]
    pub fn fallback_lifetime(mut self, lifetime: Duration) -> Self {
        self.fallback_lifetime = lifetime;
        self
    }

    /// Sets how long one call of the token store may take. If the store does not take new tokens or
    /// the end of a login in this time, they stay in memory and are tried again. Each of these
    /// later attempts may take 2 s. The mark of a refresh must be set within 2 s as well, or the
    /// refresh begins again. Any other call fails. At most 1 day.
    #[must_use]
    pub fn store_timeout(mut self, limit: Duration) -> Self {
        self.store_timeout = limit;
        self
    }

    /// How long a mark keeps everybody else from presenting the refresh token: one request to the
    /// provider, the write that follows, and some slack.
    pub(crate) fn mark_deadline(&self, request_timeout: Duration) -> Duration {
        request_timeout.saturating_add(self.store_timeout).saturating_add(SLACK)
    }

    /// Longer than any flight runs. A flight waits for its turn, for the marks of others, for the
    /// provider, and some ten times for the token store; each step has a limit.
    pub(crate) fn longest_flight(
        &self,
        longest_refresh: Duration,
        mark_deadline: Duration,
    ) -> Duration {
        let store = self.store_timeout.saturating_mul(12);
        let waits = longest_refresh.saturating_add(mark_deadline.saturating_mul(4));
        store.saturating_add(waits).saturating_mul(2).min(A_DAY)
    }

    /// How long the last writes are remembered. A token that a store has lost is noticed when it is
    /// confirmed the next time.
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
        for (what, value) in
            [("wait_timeout", self.wait_timeout), ("store_timeout", self.store_timeout)]
        {
            if value > A_DAY {
                let (value, rule) = (format!("{value:?}"), "it must be at most 1 day");
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
        let rule = "is 86401s: it must be at most 1 day";
        let too_long = A_DAY + SECOND;
        assert_eq!(message(policy().wait_timeout(too_long)), format!("wait_timeout {rule}"));
        assert_eq!(message(policy().store_timeout(too_long)), format!("store_timeout {rule}"));
        assert_eq!(policy().wait_timeout(A_DAY).store_timeout(A_DAY).validate(), Ok(()));
        let long = message(policy().confirm_after(3601 * SECOND));
        assert!(long.starts_with("confirm_after is 3601s: it must be at most 1 h"), "{long}");
    }
}
