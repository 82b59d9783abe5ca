//! The stores and the way to the provider, stopped before and after everything they do until the
//! schedule lets them go on.
//!
//! Each write is judged the moment it lands; a broken promise is noted with the words that show it.

mod failover;
mod judge;
mod locks;
mod presentations;
mod record;
mod sessions;
mod sets;
mod stops;
mod tokens;
mod transport;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tower_token_refresh::{
    testing::{ManualClock, MemoryTokens},
    token_store::RecordKey,
    tower_sessions::session::{Id, Record},
};

use self::{
    failover::Failovers, judge::Mark, locks::Locks, presentations::Presentation, sets::Seen,
    stops::Stops,
};
pub use self::{
    judge::{Breach, Landed},
    record::View,
    sessions::pointer_of,
    stops::{Cut, Place},
    transport::Failure,
};
use crate::{Push, Scene, Settings};

/// The key under which the application itself remembers who is logged in.
pub const USER: &str = "user";
/// More often no refresh tries.
const ATTEMPTS: usize = 4;
/// What the application counts up in a session.
pub const BASKET: &str = "basket";

/// Everything that waits for the schedule, and everything that has been seen. All processes of the
/// application share it.
#[derive(Clone)]
pub struct Stage {
    state: Arc<Mutex<State>>,
    pub settings: Settings,
    /// The token store that compares and swaps, where the scene has one.
    tokens: MemoryTokens,
    /// The clock of the token store and of the provider. It does not jump.
    pub clock: ManualClock,
}

/// One process's way to the stores and to the provider. A process that is started again has another
/// one, and whatever the earlier one still does gets no further.
#[derive(Clone)]
pub struct Way {
    pub stage: Stage,
    pub life: usize,
    /// The clock of the process.
    pub clock: ManualClock,
}

#[derive(Default)]
struct State {
    /// The life of each process.
    lives: Vec<usize>,
    next_life: usize,
    /// The process has said that nothing of it is under way any more.
    closed: HashSet<usize>,
    stops: Stops,
    locks: Locks,
    failovers: Failovers,
    jumped_back: bool,
    jumped_forward: bool,

    sessions: HashMap<Id, Record>,
    /// Sessions as they were.
    earlier: Vec<Record>,
    deleted: HashSet<Id>,
    resurrected: bool,
    /// How often the application itself has put an older basket over a newer one.
    basket_losses: usize,

    refusals: Refusals,
    /// How often a store did not do for a process what it was asked for, or took its time.
    faults: HashMap<usize, usize>,
    /// A write of a token record has failed for it.
    unwritten: HashSet<usize>,
    /// A read has.
    unread: HashSet<usize>,
    /// Puts under way, by refresh token.
    putting: Vec<String>,

    owners: HashMap<RecordKey, String>,
    endings: HashMap<RecordKey, Landed>,
    /// A mark that no request has used yet.
    marks: HashMap<(usize, RecordKey), Mark>,
    /// When a process first saw a mark, by its nonce.
    sightings: HashMap<(usize, String), Duration>,
    /// By refresh token.
    sets: HashMap<String, Seen>,
    presented: HashMap<String, Vec<Presentation>>,
    revoked: HashSet<String>,
    /// Whose revocation was given up for its time.
    revocation_lost: HashSet<String>,
    /// How the next request fails, and how many do.
    next_failure: Option<(Failure, usize)>,
    /// Who has lost a login by something that nobody can make up for.
    lost: HashSet<String>,

    broken: Vec<String>,
    admitted: Vec<Breach>,
}

/// What the stores do not do.
#[derive(Default, Debug)]
pub struct Refusals {
    pub session_writes: usize,
    pub token_writes: usize,
    /// The store does these, and says that it does not.
    pub session_answers: usize,
    pub token_answers: usize,
    pub sessions_down: bool,
    pub tokens_down: bool,
    pub locks_down: bool,
}

impl Stage {
    pub fn new(settings: Settings) -> Self {
        let clock = ManualClock::new();
        let tokens = MemoryTokens::new().with_clock(clock.clock());
        let tokens = if settings.push == Push::None { tokens } else { tokens.telling() };
        Self { state: Arc::default(), settings, tokens, clock }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn scene(&self) -> Scene {
        self.settings.scene
    }

    /// The store's time.
    pub fn now(&self) -> Duration {
        self.clock.clock().monotonic()
    }

    /// A process begins.
    pub fn begin_life(&self, process: usize, clock: ManualClock) -> Way {
        let mut state = self.state();
        let life = state.next_life;
        state.next_life += 1;
        if process == state.lives.len() {
            state.lives.push(life);
        } else {
            state.lives[process] = life;
        }
        Way { stage: self.clone(), life, clock }
    }

    /// The process ends: whatever of it is still under way gets no further.
    pub fn end_life(&self, life: usize) {
        self.give_up_what_is_lost_with(life);
        self.stop_for_ever(life);
    }

    /// The process says that nothing of it is under way.
    pub fn note_shut_down(&self, life: usize) {
        self.state().closed.insert(life);
    }

    pub fn is_alive(&self, life: usize) -> bool {
        let state = self.state();
        state.lives.contains(&life) && !state.closed.contains(&life)
    }

    pub fn refuse(&self, change: impl FnOnce(&mut Refusals)) {
        change(&mut self.state().refusals);
    }

    /// What was refused so far is accepted from now on.
    pub fn accept_everything(&self) {
        let mut state = self.state();
        state.refusals = Refusals::default();
        state.next_failure = None;
        drop(state);
        self.heal();
        self.end_leases_of_nobody();
    }

    pub fn hang_up(&self) {
        self.tokens.hang_up();
    }

    /// How the request that comes now fails, if it does.
    fn take_failure(&self) -> Option<Failure> {
        let mut state = self.state();
        let (failure, times) = state.next_failure.take()?;
        state.next_failure = (times > 1).then_some((failure, times - 1));
        Some(failure)
    }

    pub fn fail_next_request(&self, failure: Failure) {
        // A refresh tries again after a clear refusal.
        let times = if failure == Failure::Overloaded { ATTEMPTS } else { 1 };
        self.state().next_failure = Some((failure, times));
    }

    /// A wall clock jumps: what was over may be good once more, and what is young may look old.
    pub fn note_jump(&self, seconds: i64) {
        let mut state = self.state();
        state.jumped_back |= seconds < 0;
        state.jumped_forward |= seconds > 0;
    }

    pub fn has_jumped(&self) -> bool {
        let state = self.state();
        state.jumped_back || state.jumped_forward
    }

    /// Time passes for whoever waits: requests may be served before the store has their set.
    pub fn note_slow(&self) {
        let mut state = self.state();
        let State { lives, faults, putting, sets, .. } = &mut *state;
        for life in lives {
            *faults.entry(*life).or_default() += 1;
        }
        for refresh in putting {
            if let Some(seen) = sets.get_mut(refresh) {
                seen.unsaved = true;
            }
        }
    }

    pub fn faults(&self, life: usize) -> usize {
        self.state().faults.get(&life).copied().unwrap_or_default()
    }

    pub fn note_broken(&self, promise: impl Into<String>) {
        self.state().broken.push(promise.into());
    }

    pub fn broken(&self) -> Vec<String> {
        self.state().broken.clone()
    }

    /// What this scene admits, as often as it happened.
    pub fn admitted(&self) -> Vec<Breach> {
        self.state().admitted.clone()
    }
}

impl Way {
    /// Whether the process has ended.
    fn is_dead(&self) -> bool {
        !self.stage.state().lives.contains(&self.life)
    }

    fn note_fault(&self) {
        *self.stage.state().faults.entry(self.life).or_default() += 1;
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_list().entry(&state.stops).entry(&state.refusals).finish()
    }
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Way").field(&self.life).finish()
    }
}
