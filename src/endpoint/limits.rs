//! [`ProviderLimits`]: how much one provider is asked at once, how often, and when it is left alone.

use std::{ops::RangeInclusive, time::Duration};

use super::breaker::BreakerSettings;
use crate::ConfigError;

/// How much the provider is asked at once, how often, and when it is left alone.
///
/// ```
/// use std::time::Duration;
/// use tower_token_refresh::endpoint::ProviderLimits;
///
/// let limits = ProviderLimits::default().concurrent(16).breaker_pause(Duration::from_secs(2)..=Duration::from_secs(60));
/// ```
///
/// | setting | default | range |
/// |---|---|---|
/// | [`attempts`](Self::attempts) | 2 | 1 to 10 |
/// | [`concurrent`](Self::concurrent) | 64 | 1 to 100,000 |
/// | [`queue`](Self::queue) | 1024 | 0 to 1,000,000 |
/// | [`breaker_failures`](Self::breaker_failures) | 5 | above 0 |
/// | [`breaker_pause`](Self::breaker_pause) | 1 s to 5 s | above 0, in order |
///
/// They hold for refreshes. A revocation is neither queued nor refused: a log out must try, and it is no sign of how the token
/// endpoint does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProviderLimits {
    pub(super) attempts: u32,
    pub(super) concurrent: usize,
    pub(super) queue: usize,
    pub(super) breaker: BreakerSettings,
}

impl Default for ProviderLimits {
    fn default() -> Self {
        Self {
            attempts: 2,
            concurrent: 64,
            queue: 1024,
            breaker: BreakerSettings {
                failures: 5,
                first_pause: Duration::from_secs(1),
                longest_pause: Duration::from_secs(5),
            },
        }
    }
}

impl ProviderLimits {
    /// How often one refresh may be sent, the first time included, while it is certain that the refresh token has not been used up:
    /// no connection, 429, 503, `temporarily_unavailable`. All attempts with their pauses, discovery and the queue must fit into so
    /// many request timeouts, at least two.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// How many token requests may be under way at once.
    #[must_use]
    pub fn concurrent(mut self, requests: usize) -> Self {
        self.concurrent = requests;
        self
    }

    /// How many more may wait for their turn, each for one request timeout at the longest. Beyond that they fail at once.
    #[must_use]
    pub fn queue(mut self, requests: usize) -> Self {
        self.queue = requests;
        self
    }

    /// After how many failures in a row (no connection, no answer, 429, any 5xx, `temporarily_unavailable`, `server_error`) the
    /// provider is left alone for a while.
    #[must_use]
    pub fn breaker_failures(mut self, failures: u32) -> Self {
        self.breaker.failures = failures;
        self
    }

    /// How long the provider is left alone: the first time, doubling up to the longest. Then one request tries, and another one each
    /// time that the longest pause has gone by without an answer. So a provider that is back is noticed within about the longest
    /// pause, by whichever request comes then; until then users whose token has expired are refused. One request in that time is
    /// all that the provider is spared of by a longer one.
    #[must_use]
    pub fn breaker_pause(mut self, pause: RangeInclusive<Duration>) -> Self {
        (self.breaker.first_pause, self.breaker.longest_pause) = pause.into_inner();
        self
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let within = |what, value: usize, range: RangeInclusive<usize>, rule| {
            let value_is_good = range.contains(&value);
            let broken = || ConfigError::Range { what, value: value.to_string(), rule };
            if value_is_good { Ok(()) } else { Err(broken()) }
        };
        within("attempts", self.attempts as usize, 1..=10, "must be 1 to 10")?;
        within("concurrent", self.concurrent, 1..=100_000, "must be 1 to 100,000")?;
        within("queue", self.queue, 0..=1_000_000, "must be at most 1,000,000")?;
        within(
            "breaker_failures",
            self.breaker.failures as usize,
            1..=usize::MAX,
            "must be above 0",
        )?;
        let BreakerSettings { first_pause, longest_pause, .. } = self.breaker;
        if first_pause.is_zero() || first_pause > longest_pause {
            return Err(ConfigError::Range {
                what: "breaker_pause",
                value: format!("{first_pause:?} to {longest_pause:?}"),
                rule: "must be above 0, the first at most the longest",
            });
        }
        Ok(())
    }
}
