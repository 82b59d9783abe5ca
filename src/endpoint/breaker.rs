//! The circuit breaker: what the last answers say about the next request. A pure state machine: it is told the time and sends nothing.
//!
//! | state | a request | becomes |
//! |---|---|---|
//! | closed | passes | open, after so many transient failures in a row |
//! | open | is refused until the pause is over | half open, by the first request after the pause |
//! | half open | is refused while the one probe is under way, for the longest pause at most; then it is the next probe | closed by its success; open by its failure, for twice as long; open with no pause left if it ends without a word |
//!
//! Pauses double from the first to the longest and are jittered: a pause lasts between a half and the whole of its step, so that the
//! processes of one app do not knock all at once. A `Retry-After` bars every request until then, in every state.
//!
//! Each change of state begins an epoch, and each request carries the epoch it began in. A failure of an earlier epoch says nothing new:
//! what hung before the provider came back must not open the breaker again. An answer always does. A probe may hang as well, for as long
//! as a request may take: hence the next one.
//!
//! Deliberately not from a crate: recloser and tower-circuitbreaker read the operating system's clock and go by a failure rate; so
//! does failsafe's clock, and its half-open state lets everybody through; reliakit-circuit takes the time but not one probe only. None
//! knows `Retry-After`, nor a probe whose caller went away.

use std::time::Duration;

/// What a request told of the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// It answers, be it with a refusal.
    Up,
    /// Unreachable, silent, overloaded or failing.
    Down { retry_after: Option<Duration> },
    /// Nothing: the request was broken off on this side.
    None,
}

/// The right to send one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    epoch: u64,
}

/// Why no request may be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Barred {
    /// Too many failures in a row.
    Open { rest: Duration },
    /// The one request that tries is under way.
    Probing { rest: Duration },
    /// The provider named a time before which it does not want to be asked.
    RetryAfter { rest: Duration },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BreakerSettings {
    pub(super) failures: u32,
    pub(super) first_pause: Duration,
    pub(super) longest_pause: Duration,
}

#[derive(Debug)]
pub(super) struct Breaker {
    settings: BreakerSettings,
    state: State,
    epoch: u64,
    /// How often it opened since it was last closed.
    openings: u32,
    not_before: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: Duration },
    HalfOpen { since: Duration },
}

impl Breaker {
    pub(super) fn new(settings: BreakerSettings) -> Self {
        Self {
            settings,
            state: State::Closed { failures: 0 },
            epoch: 0,
            openings: 0,
            not_before: Duration::ZERO,
        }
    }

    /// Whether a request could be sent at `now`; begins none.
    pub(super) fn check(&self, now: Duration) -> Result<(), Barred> {
        let until = |time: Duration| Some(time.saturating_sub(now)).filter(|rest| !rest.is_zero());
        let asked_to_wait = until(self.not_before);
        match self.state {
            State::Open { until: time } => match until(time.max(self.not_before)) {
                Some(rest) => Err(Barred::Open { rest }),
                None => Ok(()),
            },
            _ if asked_to_wait.is_some() => {
                Err(Barred::RetryAfter { rest: asked_to_wait.unwrap_or_default() })
            }
            State::HalfOpen { since } => {
                match until(since.saturating_add(self.settings.longest_pause)) {
                    Some(rest) => {
                        Err(Barred::Probing { rest: rest.min(self.settings.first_pause) })
                    }
                    None => Ok(()),
                }
            }
            State::Closed { .. } => Ok(()),
        }
    }

    /// Begins a request at `now`. Its ticket must come back by [`settle`](Self::settle).
    pub(super) fn enter(&mut self, now: Duration) -> Result<Ticket, Barred> {
        self.check(now)?;
        if !matches!(self.state, State::Closed { .. }) {
            self.turn(State::HalfOpen { since: now });
        }
        Ok(Ticket { epoch: self.epoch })
    }

    /// Notes what a request told. `random` is any number, a new one each time. True if this opened the breaker.
    pub(super) fn settle(
        &mut self,
        ticket: Ticket,
        sign: Sign,
        now: Duration,
        random: u32,
    ) -> bool {
        if let Sign::Down { retry_after: Some(wait) } = sign {
            self.not_before = self.not_before.max(now.saturating_add(wait));
        }
        let current = ticket.epoch == self.epoch;
        match (sign, self.state) {
            (Sign::Up, State::Closed { .. }) => self.state = State::Closed { failures: 0 },
            (Sign::Up, _) => {
                self.openings = 0;
                self.turn(State::Closed { failures: 0 });
            }
            (Sign::Down { .. }, State::Closed { failures }) if current => {
                let failures = failures + 1;
                if failures >= self.settings.failures {
                    self.open(now, random);
                    return true;
                }
                self.state = State::Closed { failures };
            }
            (Sign::Down { .. }, State::HalfOpen { .. }) if current => {
                self.open(now, random);
                return true;
            }
            // The next request may be the probe, at once.
            (Sign::None, State::HalfOpen { .. }) if current => {
                self.turn(State::Open { until: now })
            }
            _ => {}
        }
        false
    }

    fn open(&mut self, now: Duration, random: u32) {
        let doubled = 2_u32.checked_pow(self.openings).unwrap_or(u32::MAX);
        let step =
            self.settings.first_pause.saturating_mul(doubled).min(self.settings.longest_pause);
        self.openings = self.openings.saturating_add(1);
        self.turn(State::Open { until: now.saturating_add(jittered(step, random)) });
    }

    fn turn(&mut self, state: State) {
        self.state = state;
        self.epoch += 1;
    }
}

/// Between a half and the whole of `step`.
pub(super) fn jittered(step: Duration, random: u32) -> Duration {
    let half = step / 2;
    half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
#[path = "tests/breaker.rs"]
mod tests;
