//! [`ProviderLimits`]: the settings of attempts, bulkhead and circuit breaker.

use std::{ops::RangeInclusive, time::Duration};

use super::breaker::BreakerSettings;
use crate::{ConfigError, policy::A_DAY};

/// Limits on the token requests to one provider: attempts, concurrency, queue and circuit breaker.
///
/// ```
/// use std::time::Duration;
/// use tower_token_refresh::ProviderLimits;
///
/// let limits = ProviderLimits::default()
///     .concurrent(8..=512)
///     .breaker_pause(Duration::from_secs(2)..=Duration::from_secs(60));
/// ```
///
/// | setting | default | range |
/// |---|---|---|
/// | [`attempts`](Self::attempts) | 2 | 1 to 10 |
/// | [`concurrent`](Self::concurrent) | 4 to 256 | 1 to 100,000, in order |
/// | [`queue`](Self::queue) | 1024 | 0 to 1,000,000 |
/// | [`breaker_failures`](Self::breaker_failures) | 5 | above 0 |
/// | [`breaker_pause`](Self::breaker_pause) | 1 s to 5 s | above 0, at most 1 day, in order |
///
/// The limits apply to token requests. Refreshes, token exchanges and logins are counted apart, so
/// that none holds up the other. Revocations are neither queued nor refused, because a logout
/// must try to revoke, and their outcome says nothing about the token endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProviderLimits {
    pub(crate) attempts: u32,
    pub(crate) concurrent: RangeInclusive<usize>,
    pub(crate) queue: usize,
    pub(crate) breaker: BreakerSettings,
}

impl Default for ProviderLimits {
    fn default() -> Self {
        Self {
            attempts: 2,
            concurrent: 4..=256,
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
    /// How often one refresh may be sent, including the first time; and once more if the provider
    /// wants its nonce in the proof of a [`DpopKey`](crate::DpopKey).
    ///
    /// A refresh is sent again only if the provider certainly did not use up the refresh token: no
    /// connection, 429, 503, 408, 421, 425, `slow_down` or `temporarily_unavailable`. Discovery,
    /// the queue, all attempts and the pauses between them must fit into this number of request
    /// timeouts, but at least into two.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// How many token requests may run at once: at least and at most so many.
    ///
    /// Between these bounds the number follows what the provider shows. It begins with 64, grows
    /// while requests wait, and shrinks after a 429, a 503 or a time-out. A range of one number
    /// fixes it.
    #[must_use]
    pub fn concurrent(mut self, requests: RangeInclusive<usize>) -> Self {
        self.concurrent = requests;
        self
    }

    /// How many token requests may wait while others run. They get their turn oldest first. Who
    /// would wait for longer than the [wait limit](crate::RefreshPolicy::wait_timeout) of a request,
    /// or one request timeout if that is shorter, hears so at once, and so does who finds the queue
    /// full.
    #[must_use]
    pub fn queue(mut self, requests: usize) -> Self {
        self.queue = requests;
        self
    }

    /// How many failures in a row open the circuit breaker. A failure is no connection, no answer,
    /// any 5xx, `temporarily_unavailable` or `server_error`. With a 5xx but 503, at
    /// least three logins must have met it.
    #[must_use]
    pub fn breaker_failures(mut self, failures: u32) -> Self {
        self.breaker.failures = failures;
        self
    }

    /// How long the circuit breaker stays open: the first time, doubling up to the longest time.
    ///
    /// After the pause one request tests the provider. If it gets no answer, the next request tests
    /// it after the longest pause. So the process notices within about the longest pause that the
    /// provider has recovered. Until then, users with an expired token get an error. A longer pause
    /// saves the provider only that one test request.
    #[must_use]
    pub fn breaker_pause(mut self, pause: RangeInclusive<Duration>) -> Self {
        (self.breaker.first_pause, self.breaker.longest_pause) = pause.into_inner();
        self
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let within = |what, value: usize, range: RangeInclusive<usize>, rule| {
            let value_is_good = range.contains(&value);
            let broken = || ConfigError::Range { what, value: value.to_string(), rule };
            if value_is_good { Ok(()) } else { Err(broken()) }
        };
        within("attempts", self.attempts as usize, 1..=10, "must be 1 to 10")?;
        let (least, most) = (*self.concurrent.start(), *self.concurrent.end());
        if least == 0 || least > most || most > 100_000 {
            return Err(ConfigError::Range {
                what: "concurrent",
                value: format!("{least} to {most}"),
                rule: "must be 1 to 100,000, the first at most the last",
            });
        }
        within("queue", self.queue, 0..=1_000_000, "must be at most 1,000,000")?;
        within(
            "breaker_failures",
            self.breaker.failures as usize,
            1..=usize::MAX,
            "must be above 0",
        )?;
        let BreakerSettings { first_pause, longest_pause, .. } = self.breaker;
        if first_pause.is_zero() || first_pause > longest_pause || longest_pause > A_DAY {
            return Err(ConfigError::Range {
                what: "breaker_pause",
                value: format!("{first_pause:?} to {longest_pause:?}"),
                rule: "must be above 0 and at most 1 day, the first at most the longest",
            });
        }
        Ok(())
    }
}
