//! The times that govern a refresh.

use std::time::Duration;

use crate::error::ConfigError;

/// As long as anything here may be kept waiting, whatever the settings add up to.
const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How early a token counts as expired, and how long each step of a refresh may take.
///
/// ```
/// use std::time::Duration;
/// use tower_token_refresh::RefreshPolicy;
///
/// let policy = RefreshPolicy::default().leeway(Duration::from_secs(10)).write_back(Duration::from_secs(5));
/// ```
///
/// | setting | default | range |
/// |---|---|---|
/// | [`leeway`](Self::leeway) | 5 s | any; shrinks to a quarter of a token's life |
/// | [`early_window`](Self::early_window) | 60 s | any; shrinks to half of a token's life; 0 turns it off |
/// | [`wait_limit`](Self::wait_limit) | 10 s | above 0 |
/// | [`on_unavailable`](Self::on_unavailable) | [`OnUnavailable::Refuse`] | |
/// | [`replay`](Self::replay) | true | |
/// | [`fallback_lifetime`](Self::fallback_lifetime) | 60 s | above 0 |
/// | [`write_back`](Self::write_back) | 10 s | above 0 |
/// | [`flight_limit`](Self::flight_limit) | 60 s | at least the endpoint's attempts (2 or more) × its request timeout + 3 × `write_back` |
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefreshPolicy {
    pub(crate) leeway: Duration,
    pub(crate) early_window: Duration,
    pub(crate) wait_limit: Duration,
    pub(crate) on_unavailable: OnUnavailable,
    pub(crate) replay: bool,
    pub(crate) fallback_lifetime: Duration,
    pub(crate) write_back: Duration,
    pub(crate) flight_limit: Duration,
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
            early_window: Duration::from_secs(60),
            wait_limit: Duration::from_secs(10),
            on_unavailable: OnUnavailable::Refuse,
            replay: true,
            fallback_lifetime: Duration::from_secs(60),
            write_back: Duration::from_secs(10),
            flight_limit: Duration::from_secs(60),
        }
    }
}

impl RefreshPolicy {
    /// How long before its expiry an access token counts as expired: for the way to the API and for clocks that differ. Never
    /// more than a quarter of the token's life, so that a token that lives 4 s is served for 3 s. Requests that come later than that
    /// wait for a refresh; should it fail while the token has not expired yet, they go on with the token, unless the login has ended.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// How long before its expiry an access token is refreshed in the background, by the first request that comes within this
    /// window; that request and all others go on with the token they have. Never more than half of the token's life; each token of each
    /// login begins its window at a moment of its own, in the first half, so that logins made together are not refreshed together. So
    /// a user who comes by in that time notices nothing of a provider that is down for less than half of this. Without effect where it
    /// is not longer than [`leeway`](Self::leeway); 0 turns it off.
    #[must_use]
    pub fn early_window(mut self, window: Duration) -> Self {
        self.early_window = window;
        self
    }

    /// How long a request waits for a refresh, whoever started it, before it gives up with
    /// [`WaitTimeout`](crate::RefreshErrorKind::WaitTimeout). The refresh goes on without it and loses nothing.
    #[must_use]
    pub fn wait_limit(mut self, limit: Duration) -> Self {
        self.wait_limit = limit;
        self
    }

    /// What a request gets whose access token has expired while the provider cannot be asked.
    #[must_use]
    pub fn on_unavailable(mut self, what: OnUnavailable) -> Self {
        self.on_unavailable = what;
        self
    }

    /// Whether a refresh token is presented again whose last presentation had no usable answer, once the access token has expired.
    ///
    /// Nobody knows then whether the provider has used it up. At a provider that punishes reuse, presenting it once more may end the
    /// login; not presenting it ends the login for certain. So it is done, by default: never while the old access token is good
    /// (its punishment would kill that too), one at a time, after 1 s, 2 s and so on up to 60 s, until the provider gives a clear
    /// answer. Requests in between get `Unavailable`. Without replay the login ends as `SessionExpired`.
    #[must_use]
    pub fn replay(mut self, replay: bool) -> Self {
        self.replay = replay;
        self
    }

    /// How long an access token lives if neither `expires_in` (RFC 6749 section 5.1) nor a JWT's `exp` says so.
    #[must_use]
    pub fn fallback_lifetime(mut self, lifetime: Duration) -> Self {
        self.fallback_lifetime = lifetime;
        self
    }

    /// How long the session store may take for one step of a refresh, a log in or a log out: a read, or a write with all its retries.
    /// A refresh then keeps the new tokens in memory and lets its waiters go on; a log in or log out fails.
    #[must_use]
    pub fn write_back(mut self, limit: Duration) -> Self {
        self.write_back = limit;
        self
    }

    /// The longest a flight may take: a refresh with discovery, the queue and all attempts, within
    /// [that many request timeouts](crate::endpoint::ProviderLimits); a re-read, arrears and a write-back, each within `write_back`.
    /// Each step is given up at its own limit, so a flight that is stuck ends; a token request that is given up counts as one without an
    /// answer, see [`replay`](Self::replay). Settings whose sum is longer than this are refused. A refreshed ID token that is signed with
    /// a key not seen before may take 5 s more.
    #[must_use]
    pub fn flight_limit(mut self, limit: Duration) -> Self {
        self.flight_limit = limit;
        self
    }

    /// How long a running flight stays registered at the most: well beyond the longest way through one, so that none is ever
    /// forgotten while it runs and started a second time. That way is discovery, a refresh and a revocation; and of the session
    /// store a re-read, its arrears, a write-back and a tombstone.
    pub(crate) fn net(&self, longest_refresh: Duration) -> Duration {
        // The revocation is one request more; half as long as the longest refresh at most.
        let longest =
            longest_refresh.saturating_mul(2).saturating_add(self.write_back.saturating_mul(4));
        longest.max(self.flight_limit).saturating_mul(2).min(A_DAY)
    }

    pub(crate) fn validate(&self, longest_refresh: Duration) -> Result<(), ConfigError> {
        for (what, value) in [
            ("fallback_lifetime", self.fallback_lifetime),
            ("wait_limit", self.wait_limit),
            ("write_back", self.write_back),
        ] {
            if value.is_zero() {
                return Err(ConfigError::Range {
                    what,
                    value: format!("{value:?}"),
                    rule: "it must be longer than 0 s",
                });
            }
        }
        let needed = longest_refresh.saturating_add(self.write_back.saturating_mul(3));
        if self.flight_limit < needed {
            return Err(ConfigError::Clash {
                left: "flight_limit",
                left_value: format!("{:?}", self.flight_limit),
                rule: "at least",
                right: "attempts x request_timeout + 3 x write_back",
                right_value: format!(
                    "{longest_refresh:?} + 3 x {:?} = {needed:?}",
                    self.write_back
                ),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_agree_with_the_default_request_timeout() {
        assert_eq!(RefreshPolicy::default().validate(Duration::from_secs(30)), Ok(()));
    }

    #[test]
    fn a_flight_limit_shorter_than_its_steps_is_refused_with_both_values() {
        let policy = RefreshPolicy::default().flight_limit(Duration::from_secs(20));
        let message =
            policy.validate(Duration::from_secs(30)).expect_err("20 s < 60 s").to_string();
        assert_eq!(
            message,
            "flight_limit (20s) must be at least attempts x request_timeout + 3 x write_back (30s + 3 x 10s = 60s)"
        );
    }

    #[test]
    fn settings_without_bounds_still_make_a_net_that_a_cache_can_hold() {
        let policy = RefreshPolicy::default().flight_limit(Duration::MAX).write_back(Duration::MAX);
        assert_eq!(policy.net(Duration::MAX), A_DAY);
    }

    #[test]
    fn a_zero_lifetime_is_refused() {
        let policy = RefreshPolicy::default().fallback_lifetime(Duration::ZERO);
        let message = policy.validate(Duration::from_secs(30)).expect_err("zero").to_string();
        assert_eq!(message, "fallback_lifetime is 0ns: it must be longer than 0 s");
    }
}
