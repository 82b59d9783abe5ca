//! [`Breaker`]: a circuit breaker for one provider.
//!
//! It is a pure state machine. The caller passes in the time, and the breaker sends nothing itself.
//!
//! | state | what it does with a request | next state |
//! |---|---|---|
//! | closed | lets it pass | open, after a number of transient failures in a row |
//! | open | refuses it until the pause ends | half-open, with the first request after the pause |
//! | half-open | refuses it while one probe runs, at most for the longest pause | see below |
//!
//! | how the probe ends | next state |
//! |---|---|
//! | the provider answers | closed |
//! | a transient failure | open, for twice as long; if it may be this login's alone, open without a pause, once |
//! | the caller drops it | open without a pause: the next request is the probe |
//! | no answer within the longest pause | half-open: the next request becomes another probe |
//!
//! Pauses double from the first to the longest. Each is jittered between half and all of its step,
//! so that the processes of one application do not return at the same moment. The `Retry-After` of
//! a 503 stops every request until it has passed, in every state.
//!
//! One user's trouble is one user's. What the provider may answer to one login only, a 500, does
//! not open the breaker before three logins have met it.
//!
//! Each change of state starts a new epoch, and each request carries the epoch in which it started.
//! The breaker ignores failures of earlier epochs: a request that hung before the provider
//! recovered must not open the breaker again. It always believes an answer.
//!
//! Deliberately not a crate: recloser and tower-circuitbreaker read the system clock and work with
//! failure rates. failsafe reads the system clock and lets everybody through when half-open.
//! reliakit-circuit accepts a time but not a single probe. None of them supports `Retry-After` or a
//! probe whose caller goes away.

use std::time::Duration;

use serde::Serialize;

use super::{Fingerprint, SEVERAL};
use crate::backoff::doubled;

/// What the outcome of a request says about the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// It answers, even if it rejects the request.
    Up,
    /// It is unreachable, silent, overloaded or failing.
    Down {
        retry_after: Option<Duration>,
        /// The refresh token of the login that met it, if it may be about that one only.
        login: Option<Fingerprint>,
    },
    /// It answers, and wants everybody to come back after this time.
    Later(Duration),
    /// Nothing: this side dropped the request.
    Nothing,
}

/// The right to send one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    epoch: u64,
}

/// Why the breaker refuses a request, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BreakerRefusal {
    /// The provider failed too often in a row.
    Open { rest: Duration },
    /// The probe is running.
    HalfOpen { rest: Duration },
    /// The provider's `Retry-After` has not passed.
    RetryAfter { rest: Duration },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BreakerSettings {
    pub(crate) failures: u32,
    pub(crate) first_pause: Duration,
    pub(crate) longest_pause: Duration,
}

#[derive(Debug)]
pub(crate) struct Breaker {
    settings: BreakerSettings,
    state: State,
    epoch: u64,
    /// How often the breaker has opened since it was last closed.
    openings: u32,
    /// When the provider's last `Retry-After` ends.
    not_before: Duration,
    /// The only login whose probe has failed since the breaker opened, in its own way.
    failed_probe: Option<Fingerprint>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed(Row),
    Open { until: Duration },
    HalfOpen { since: Duration },
}

/// What a circuit breaker does with requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// It lets them pass.
    Closed,
    /// One request finds out whether the provider answers again; the others are refused.
    HalfOpen,
    /// It refuses them; the first one after its pause is let through.
    Open,
}

/// Failures in a row.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Row {
    failures: u32,
    /// Which logins have met them, unless the endpoint as a whole has failed.
    logins: [Option<Fingerprint>; SEVERAL],
    /// Several logins have, or the endpoint as a whole has failed.
    of_all: bool,
}

impl Row {
    fn add(&mut self, login: Option<Fingerprint>) {
        self.failures = self.failures.saturating_add(1);
        if login.is_none() {
            self.of_all = true;
        } else if !self.logins.contains(&login)
            && let Some(free) = self.logins.iter_mut().find(|known| known.is_none())
        {
            *free = login;
        }
        self.of_all |= self.logins.iter().all(Option::is_some);
    }
}

impl Breaker {
    pub(crate) fn new(settings: BreakerSettings) -> Self {
        Self {
            settings,
            state: State::Closed(Row::default()),
            epoch: 0,
            openings: 0,
            not_before: Duration::ZERO,
            failed_probe: None,
        }
    }

    pub(crate) fn state(&self) -> BreakerState {
        match self.state {
            State::Closed(_) => BreakerState::Closed,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
            State::Open { .. } => BreakerState::Open,
        }
    }

    /// Whether a request could start at `now`. It starts none.
    pub(crate) fn check(&self, now: Duration) -> Result<(), BreakerRefusal> {
        let until = |time: Duration| Some(time.saturating_sub(now)).filter(|rest| !rest.is_zero());
        let provider_pause = until(self.not_before);
        match self.state {
            State::Open { until: time } => match until(time.max(self.not_before)) {
                Some(rest) => Err(BreakerRefusal::Open { rest }),
                None => Ok(()),
            },
            _ if provider_pause.is_some() => {
                Err(BreakerRefusal::RetryAfter { rest: provider_pause.unwrap_or_default() })
            }
            State::HalfOpen { since } => {
                match until(since.saturating_add(self.settings.longest_pause)) {
                    Some(rest) => {
                        Err(BreakerRefusal::HalfOpen { rest: rest.min(self.settings.first_pause) })
                    }
                    None => Ok(()),
                }
            }
            State::Closed(_) => Ok(()),
        }
    }

    /// Starts a request at `now`. The caller returns its ticket with [`record`](Self::record).
    pub(crate) fn admit(&mut self, now: Duration) -> Result<Ticket, BreakerRefusal> {
        self.check(now)?;
        if !matches!(self.state, State::Closed(_)) {
            self.transition(State::HalfOpen { since: now });
        }
        Ok(Ticket { epoch: self.epoch })
    }

    /// Records the outcome of a request. `random` is a new random number for each call.
    /// Returns true if this call opened the breaker.
    pub(crate) fn record(
        &mut self,
        ticket: Ticket,
        sign: Signal,
        now: Duration,
        random: u32,
    ) -> bool {
        match sign {
            // What one login was told is that login's.
            Signal::Down { retry_after: Some(wait), login: None } | Signal::Later(wait) => {
                self.not_before = self.not_before.max(now.saturating_add(wait));
            }
            _ => {}
        }
        let current = ticket.epoch == self.epoch;
        match (sign, self.state) {
            (Signal::Up | Signal::Later(_), State::Closed(_)) => {
                self.state = State::Closed(Row::default());
            }
            (Signal::Up | Signal::Later(_), _) => {
                (self.openings, self.failed_probe) = (0, None);
                self.transition(State::Closed(Row::default()));
            }
            (Signal::Down { login, .. }, State::Closed(mut row)) if current => {
                row.add(login);
                if row.of_all && row.failures >= self.settings.failures {
                    self.open(now, random);
                    return true;
                }
                self.state = State::Closed(row);
            }
            (Signal::Down { login, .. }, State::HalfOpen { .. }) if current => {
                if self.is_one_logins(login) {
                    self.transition(State::Open { until: now });
                    return false;
                }
                self.open(now, random);
                return true;
            }
            // The next request becomes the probe at once.
            (Signal::Nothing, State::HalfOpen { .. }) if current => {
                self.transition(State::Open { until: now });
            }
            _ => {}
        }
        false
    }

    /// Whether only one login has failed to probe the provider so far. The next request probes it at
    /// once.
    fn is_one_logins(&mut self, login: Option<Fingerprint>) -> bool {
        let is_first = self.failed_probe.is_none() || self.failed_probe == login;
        self.failed_probe = self.failed_probe.or(login);
        login.is_some() && is_first
    }

    fn open(&mut self, now: Duration, random: u32) {
        let BreakerSettings { first_pause, longest_pause, .. } = self.settings;
        let step = doubled(first_pause, self.openings, longest_pause);
        self.openings = self.openings.saturating_add(1);
        self.failed_probe = None;
        self.transition(State::Open { until: now.saturating_add(jittered(step, random)) });
    }

    fn transition(&mut self, state: State) {
        self.state = state;
        self.epoch += 1;
    }
}

/// A duration between half and all of `step`.
pub(crate) fn jittered(step: Duration, random: u32) -> Duration {
    let half = step / 2;
    half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests;
