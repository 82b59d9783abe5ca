//! [`Bulkhead`]: limits the requests that run at once and the requests that wait.
//!
//! Without it, a slow provider would collect every connection and all memory of this process. How
//! many requests a provider can take at once it does not tell, so the limit follows what it shows:
//!
//! | what happens | the limit |
//! |---|---|
//! | requests wait, and nothing was refused for 10 s | +8 each 50 ms |
//! | an answer while requests wait | +1; once something was refused, +1 for as many answers as the limit |
//! | 429, 503 or no answer, with at least half of the limit in use, or 429 to several logins | down to what still runs, but by half at the most |
//!
//! A provider that takes 5 s for each of 200 requests so gets nearly all of them within a second,
//! and one that takes 10 at once is found out by a single burst. The limit stays between bounds.
//!
//! Deliberately not a crate: `tower-acc` and `tower-resilience-adaptive` wrap a `tower::Service`,
//! read the system clock, and raise their limit by answers only, so that 136 of 200 users wait for
//! the first answer of a provider that takes 5 s.

use std::{
    ops::RangeInclusive,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, sleep, timeout_at},
};

use crate::Clock;

const FIRST_LIMIT: usize = 64;
/// Each of these waits for a growth that lies this far ahead of it.
const GROW_BY: usize = 8;
const GROW_EVERY: Duration = Duration::from_millis(50);
/// For so long nothing must have been refused before the limit grows without an answer.
const CALM: Duration = Duration::from_secs(10);

pub(crate) struct Bulkhead {
    clock: Clock,
    bounds: RangeInclusive<usize>,
    /// How many requests may run or wait.
    most_admitted: usize,
    /// Has as many permits as the limit, or owes the rest.
    running: Semaphore,
    state: Mutex<State>,
}

struct State {
    limit: usize,
    in_flight: usize,
    waiting: usize,
    /// Permits that the limit has lost while they were in use.
    owed: usize,
    /// Answers since the limit last grew.
    answers: usize,
    overloaded_at: Option<Duration>,
    takes: Option<Takes>,
}

/// How long a request takes, on average.
#[derive(Clone, Copy)]
struct Takes {
    average: Duration,
    learnt_at: Duration,
}

/// Room for one running request. Dropping it makes room for the next.
pub(crate) struct Permit<'a> {
    bulkhead: &'a Bulkhead,
    since: Duration,
    running: Option<SemaphorePermit<'a>>,
}

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoPermit {
    QueueFull,
    Timeout,
    /// It would not get its turn in time, but after about so long.
    TooLate(Duration),
}

/// What a request says about how many the provider can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    Answered,
    /// 429, 503, or no answer in time.
    TooMuch,
    /// 429, as to several logins before.
    TooMuchForSeveral,
}

impl Bulkhead {
    pub(crate) fn new(bounds: RangeInclusive<usize>, queue: usize, clock: Clock) -> Self {
        let (least, most) = (*bounds.start(), *bounds.end());
        let limit = FIRST_LIMIT.clamp(least, most);
        let state = State {
            limit,
            in_flight: 0,
            waiting: 0,
            owed: 0,
            answers: 0,
            overloaded_at: None,
            takes: None,
        };
        Self {
            clock,
            bounds,
            most_admitted: most.saturating_add(queue),
            running: Semaphore::new(limit),
            state: Mutex::new(state),
        }
    }

    /// Waits for room, first come, first served, for at most `limit`. Whoever would wait for longer
    /// hears so at once.
    pub(crate) async fn acquire(&self, limit: Duration) -> Result<Permit<'_>, NoPermit> {
        let running = match self.running.try_acquire() {
            Ok(running) => running,
            Err(_) => self.wait(limit).await?,
        };
        self.state().in_flight += 1;
        let since = self.clock.monotonic();
        Ok(Permit { bulkhead: self, since, running: Some(running) })
    }

    async fn wait(&self, limit: Duration) -> Result<SemaphorePermit<'_>, NoPermit> {
        let (place, _waits) = self.queue_up(limit)?;
        let deadline = sleep(limit).deadline();
        let rounds = u32::try_from(place / GROW_BY + 1).unwrap_or(u32::MAX);
        let grows_at: Instant = sleep(GROW_EVERY.saturating_mul(rounds)).deadline();
        let mut turn = std::pin::pin!(self.running.acquire());
        if grows_at < deadline {
            if let Ok(turn) = timeout_at(grows_at, turn.as_mut()).await {
                return turn.map_err(|_| NoPermit::Timeout);
            }
            // The permit goes to whoever has waited longest.
            self.grow_if_calm();
        }
        match timeout_at(deadline, turn).await {
            Ok(Ok(running)) => Ok(running),
            // The inner error cannot happen: nobody closes the semaphore.
            Ok(Err(_)) | Err(_) => Err(NoPermit::Timeout),
        }
    }

    /// How many wait before this one.
    fn queue_up(&self, limit: Duration) -> Result<(usize, Waits<'_>), NoPermit> {
        let now = self.clock.monotonic();
        let mut state = self.state();
        if state.in_flight + state.waiting >= self.most_admitted {
            return Err(NoPermit::QueueFull);
        }
        // What was learnt long ago turns nobody away: the provider may be quick again.
        let takes = state.takes.filter(|takes| now.saturating_sub(takes.learnt_at) < CALM);
        if let Some(Takes { average, .. }) = takes {
            let at_once = if state.is_calm(now) { *self.bounds.end() } else { state.limit };
            let rounds = (state.waiting + 1).div_ceil(at_once.max(1));
            let wait = average.saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX));
            if wait > limit && rounds > 1 {
                return Err(NoPermit::TooLate(wait));
            }
        }
        let place = state.waiting;
        state.waiting += 1;
        Ok((place, Waits(self)))
    }

    fn grow_if_calm(&self) {
        let now = self.clock.monotonic();
        let mut state = self.state();
        if state.is_calm(now) {
            self.grow(&mut state);
        }
    }

    fn grow(&self, state: &mut State) {
        if state.limit < *self.bounds.end() {
            state.limit += 1;
            state.answers = 0;
            match state.owed.checked_sub(1) {
                Some(owed) => state.owed = owed,
                None => self.running.add_permits(1),
            }
        }
    }

    fn learn(&self, load: Load, took: Duration) {
        let now = self.clock.monotonic();
        let mut state = self.state();
        let before = state.takes.map_or(took, |takes| takes.average);
        // A quick 429 says nothing of it, a time-out does.
        if load == Load::Answered || took > before {
            // A few quick answers must outweigh a slow spell.
            let weight = if took < before { 2 } else { 8 };
            let average = before - before / weight + took / weight;
            state.takes = Some(Takes { average, learnt_at: now });
        }
        match load {
            Load::Answered => {
                state.answers += 1;
                let enough = if state.overloaded_at.is_some() { state.limit } else { 1 };
                if state.waiting > 0 && state.answers >= enough {
                    self.grow(&mut state);
                }
            }
            Load::TooMuch | Load::TooMuchForSeveral => {
                let others = state.in_flight.saturating_sub(1);
                // With less in use, one refusal was not for the number of requests.
                if load == Load::TooMuchForSeveral || state.in_flight * 2 >= state.limit {
                    state.overloaded_at = Some(now);
                    let lower = others.max(state.limit / 2).max(*self.bounds.start());
                    self.shrink(&mut state, lower);
                }
            }
        }
    }

    fn shrink(&self, state: &mut State, limit: usize) {
        let less = state.limit.saturating_sub(limit);
        state.limit -= less;
        state.answers = 0;
        state.owed += less - self.running.forget_permits(less);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_calm(&self, now: Duration) -> bool {
        self.overloaded_at.is_none_or(|at| now.saturating_sub(at) >= CALM)
    }
}

/// One that waits. Dropped when it has its turn or gives up.
struct Waits<'a>(&'a Bulkhead);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.state().waiting -= 1;
    }
}

impl Permit<'_> {
    /// Reports what the request says about the limit.
    pub(crate) fn learn(&self, load: Load) {
        let took = self.bulkhead.clock.monotonic().saturating_sub(self.since);
        self.bulkhead.learn(load, took);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.bulkhead.state();
        state.in_flight -= 1;
        let Some(running) = self.running.take() else { return };
        if let Some(owed) = state.owed.checked_sub(1) {
            state.owed = owed;
            running.forget();
        }
    }
}

#[cfg(test)]
mod tests;
