//! The refreshes under way and the last ones that ended, for whoever looks: when each of them came
//! to which stage, and what came of it.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use dashmap::DashMap;
use rustc_hash::FxBuildHasher;
use tokio::sync::watch;
use tracing::Span;

use super::{audit::Audit, core::FlightKey};
use crate::{
    clock::{Clock, Moment},
    metrics::{Meter, Outcome},
    operate::{Flight, Stage},
    tokens::RecordKey,
};

/// How many of those that ended are remembered.
const REMEMBERED: usize = 256;
/// How many stages of one refresh are shown: one that waits for another process looks again and again.
const MOST_SHOWN: usize = 64;

pub(super) struct FlightLog {
    running: DashMap<u64, Arc<Logged>, FxBuildHasher>,
    by_login: DashMap<RecordKey, Arc<Logged>, FxBuildHasher>,
    ended: Mutex<VecDeque<Flight>>,
    next: AtomicU64,
    /// Counts what has happened.
    changes: watch::Sender<u64>,
    clock: Clock,
    meter: Arc<Meter>,
    audit: Audit,
}

/// A refresh under way.
pub(super) struct Logged {
    id: u64,
    key: FlightKey,
    /// Of the login: its user is one at this issuer only.
    issuer: Arc<str>,
    early: bool,
    began: Moment,
    pub(super) span: Span,
    stages: Mutex<Stages>,
}

/// The stages that a refresh has come to.
#[derive(Default)]
struct Stages {
    /// The first ones, each with its begin.
    shown: Vec<(Stage, Duration)>,
    /// The one that it is in, and its begin.
    current: Option<(Stage, Duration)>,
    /// How long those before took. One that comes again is added up.
    took: Vec<(Stage, Duration)>,
}

impl Stages {
    /// `now`: after the begin of the refresh. Whether this is one more to show.
    fn enter(&mut self, stage: Stage, now: Duration) -> bool {
        if self.current.is_some_and(|(current, _)| current == stage) {
            return false;
        }
        self.leave(now);
        self.current = Some((stage, now));
        let is_shown = self.shown.len() < MOST_SHOWN;
        if is_shown {
            self.shown.push((stage, now));
        }
        is_shown
    }

    fn leave(&mut self, now: Duration) {
        let Some((stage, began)) = self.current.take() else { return };
        let this = now.saturating_sub(began);
        match self.took.iter_mut().find(|(known, _)| *known == stage) {
            Some((_, sum)) => *sum += this,
            None => self.took.push((stage, this)),
        }
    }
}

/// What a flight holds: it ends with it, by a panic too.
pub(super) struct Entry {
    log: Arc<FlightLog>,
    logged: Arc<Logged>,
    outcome: Outcome,
    waiters: usize,
}

impl FlightLog {
    pub(super) fn new(clock: Clock, meter: Arc<Meter>, audit: Audit) -> Self {
        Self {
            running: DashMap::default(),
            by_login: DashMap::default(),
            ended: Mutex::default(),
            next: AtomicU64::new(1),
            changes: watch::Sender::new(0),
            clock,
            meter,
            audit,
        }
    }

    pub(super) fn begin(self: &Arc<Self>, key: FlightKey, issuer: Arc<str>, early: bool) -> Entry {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let span = tracing::info_span!(
            "token_refresh.flight",
            login = %key.key,
            early,
            outcome = tracing::field::Empty
        );
        let began = self.clock.moment();
        let stages = Mutex::default();
        let logged = Arc::new(Logged { id, key, issuer, early, began, span, stages });
        self.running.insert(id, logged.clone());
        self.by_login.insert(logged.key.key, logged.clone());
        self.changed();
        Entry { log: self.clone(), logged, outcome: Outcome::Lost, waiters: 0 }
    }

    /// The span of the login's refresh, for those who wait for it.
    pub(super) fn span_of(&self, key: RecordKey) -> Option<Span> {
        Some(self.by_login.get(&key)?.span.clone())
    }

    /// Tells of each change.
    #[cfg(feature = "inspect")]
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Those under way, by their begin. `waiters` says how many wait for one.
    pub(super) fn running(&self, waiters: impl Fn(&FlightKey) -> usize) -> Vec<Flight> {
        let now = self.clock.moment();
        let running = self
            .running
            .iter()
            .map(|logged| self.seen(&logged, now.since(logged.began), waiters(&logged.key), None));
        let mut running: Vec<_> = running.collect();
        running.sort_by_key(|flight| flight.id);
        running
    }

    /// The last ones that ended, by their end.
    pub(super) fn ended(&self) -> Vec<Flight> {
        lock(&self.ended).iter().cloned().collect()
    }

    pub(super) fn count(&self) -> usize {
        self.running.len()
    }

    fn seen(
        &self,
        logged: &Logged,
        age: Duration,
        waiters: usize,
        outcome: Option<Outcome>,
    ) -> Flight {
        Flight {
            id: logged.id,
            login: logged.key.key.to_string(),
            user: logged.key.user.as_deref().map(|user| self.audit.user(&logged.issuer, user)),
            early: logged.early,
            began: logged.began.wall,
            took: age,
            waiters,
            stages: lock(&logged.stages).shown.clone(),
            outcome: outcome.map(Outcome::name),
        }
    }

    fn end(&self, logged: &Arc<Logged>, outcome: Outcome, waiters: usize) {
        let took = self.clock.since(logged.began);
        logged.span.record("outcome", outcome.name());
        let mut stages = lock(&logged.stages);
        stages.leave(took);
        for (stage, took) in &stages.took {
            self.meter.stage_ended(stage.name(), *took);
        }
        drop(stages);
        self.meter.flight_ended(outcome, took, waiters);
        let flight = self.seen(logged, took, waiters, Some(outcome));
        self.running.remove(&logged.id);
        self.by_login.remove_if(&logged.key.key, |_, latest| Arc::ptr_eq(latest, logged));
        let mut ended = lock(&self.ended);
        if ended.len() == REMEMBERED {
            ended.pop_front();
        }
        ended.push_back(flight);
        drop(ended);
        self.changed();
    }

    fn changed(&self) {
        self.changes.send_modify(|changes| *changes = changes.wrapping_add(1));
    }
}

impl Entry {
    pub(super) fn span(&self) -> &Span {
        &self.logged.span
    }

    pub(super) fn key(&self) -> &FlightKey {
        &self.logged.key
    }

    pub(super) fn enter(&self, stage: Stage) {
        let after = self.log.clock.since(self.logged.began);
        if lock(&self.logged.stages).enter(stage, after) {
            self.log.changed();
        }
    }

    pub(super) fn end(mut self, outcome: Outcome, waiters: usize) {
        (self.outcome, self.waiters) = (outcome, waiters);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.log.end(&self.logged, self.outcome, self.waiters);
    }
}

impl fmt::Debug for FlightLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlightLog").field("running", &self.running.len()).finish_non_exhaustive()
    }
}

/// Ignores poisoning: no code under these locks panics half way through a change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_that_comes_again_is_added_up() {
        let millis = Duration::from_millis;
        let mut stages = Stages::default();
        for (stage, at) in
            [(Stage::Read, 0), (Stage::Wait, 3), (Stage::Read, 10), (Stage::Mark, 14)]
        {
            assert!(stages.enter(stage, millis(at)));
        }
        assert!(!stages.enter(Stage::Mark, millis(15)), "it is in that one");
        stages.leave(millis(20));
        assert_eq!(
            stages.took,
            [(Stage::Read, millis(7)), (Stage::Wait, millis(7)), (Stage::Mark, millis(6))]
        );
        assert_eq!(stages.shown[3], (Stage::Mark, millis(14)));
    }

    #[test]
    fn stages_that_are_not_shown_are_added_up_as_well() {
        let seconds = Duration::from_secs;
        let mut stages = Stages::default();
        for look in 0..100 {
            stages.enter(Stage::Read, seconds(10 * look));
            stages.enter(Stage::Wait, seconds(10 * look + 1));
        }
        stages.leave(seconds(1000));
        assert_eq!(stages.took, [(Stage::Read, seconds(100)), (Stage::Wait, seconds(900))]);
        assert_eq!(stages.shown.len(), MOST_SHOWN);
    }
}
