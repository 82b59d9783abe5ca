//! The store and the way to the provider, stopped before and after everything they do until the schedule lets them go on.
//!
//! Each write is judged the moment it lands; a broken promise is noted with the state that shows it.

mod entry;
mod seen;
mod way;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;
use tower_token_refresh::{
    testing::ManualClock,
    tower_sessions::{
        SessionStore,
        session::{Id, Record},
        session_store::{Error, Result},
    },
};

pub use self::entry::{Entry, KEY, Set};
use self::seen::Seen;

/// The key under which the application itself remembers who is logged in.
pub const USER: &str = "user";

/// Everything that waits for the schedule, and everything that has been seen. Each process of the application has one of its own, over
/// the same store.
#[derive(Clone, Default)]
pub struct Stage {
    state: Arc<Mutex<State>>,
    /// The application's clock.
    pub clock: ManualClock,
    process: usize,
}

#[derive(Default)]
struct State {
    passing: bool,
    slow: bool,
    jumped_back: bool,
    /// Whether the application presents a token in doubt at all.
    replays: bool,
    process: usize,
    /// The process has said that nothing of it is under way any more.
    shut_down: bool,
    parked: Vec<(&'static str, oneshot::Sender<()>)>,
    /// What the end of its process has stopped.
    never: Vec<oneshot::Sender<()>>,
    records: HashMap<Id, Record>,
    /// By refresh token.
    seen: HashMap<String, Seen>,
    refused_writes: usize,
    refused_ever: bool,
    next_failure: Option<Failure>,
    /// Refresh tokens that were presented and got no answer.
    in_doubt: Vec<String>,
    /// Refresh tokens that may be presented again.
    again: Vec<String>,
    /// Who lost a login because the answer to its refresh got lost.
    lost: Vec<String>,
    /// A revocation was given up for its time.
    revocation_lost: bool,
    broken: Vec<String>,
}

/// How the next request to the provider fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// 503: the provider has done nothing.
    Overloaded,
    /// The connection breaks before the provider has seen the request.
    RequestLost,
    /// The connection breaks after the provider has done its part.
    AnswerLost,
}

impl Stage {
    pub fn new(replays: bool) -> Self {
        let stage = Self::default();
        stage.state().replays = replays;
        stage
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing stops any more, as when nobody looks.
    pub fn let_everything_pass(&self, pass: bool) {
        let mut state = self.state();
        state.passing = pass;
        if pass {
            state.parked.clear();
        }
    }

    /// The process says that nothing of it is under way.
    pub fn note_shut_down(&self) {
        self.state().shut_down = true;
    }

    /// The process ends: whatever of it is still under way gets no further. Gives the stage of the next one.
    pub fn next_process(&self) -> Self {
        self.forget_with_the_process();
        let mut state = self.state();
        state.process += 1;
        state.shut_down = false;
        Self { process: state.process, ..self.clone() }
    }

    async fn park(&self, at: &'static str) {
        if let Some(released) = self.stop(at) {
            // Fails when everything may pass, and when the case is over.
            let _ = released.await;
        }
    }

    fn stop(&self, at: &'static str) -> Option<oneshot::Receiver<()>> {
        let mut state = self.state();
        let (release, released) = oneshot::channel();
        if self.process != state.process {
            state.never.push(release);
        } else if state.passing {
            return None;
        } else {
            state.parked.push((at, release));
        }
        Some(released)
    }

    pub fn parked(&self) -> usize {
        self.state().parked.len()
    }

    /// Lets one of the parked go on; `pick` chooses which.
    pub fn release(&self, pick: usize) {
        let mut state = self.state();
        // Whoever was dropped while parked does not count.
        state.parked.retain(|(_, release)| !release.is_closed());
        if !state.parked.is_empty() {
            let index = pick % state.parked.len();
            let (_, release) = state.parked.remove(index);
            drop(state);
            let _ = release.send(());
        }
    }

    pub fn refuse_writes(&self, count: usize) {
        let mut state = self.state();
        state.refused_writes = count;
        state.refused_ever |= count > 0;
    }

    pub fn is_refusing(&self) -> bool {
        self.state().refused_writes > 0
    }

    pub fn refused_ever(&self) -> bool {
        self.state().refused_ever
    }

    pub fn fail_next_request(&self, failure: Failure) {
        self.state().next_failure = Some(failure);
    }

    /// What was over may be good once more.
    pub fn note_jump_back(&self) {
        self.state().jumped_back = true;
    }

    /// From here on requests may be served before the store has their set, as with a store that refuses.
    pub fn note_slow(&self) {
        self.state().slow = true;
    }

    pub fn was_slow(&self) -> bool {
        self.state().slow
    }

    pub fn note_broken(&self, promise: String) {
        self.state().broken.push(promise);
    }

    pub fn broken(&self) -> Vec<String> {
        self.state().broken.clone()
    }

    fn refuses(&self) -> bool {
        let mut state = self.state();
        let refuses = state.refused_writes > 0;
        state.refused_writes = state.refused_writes.saturating_sub(1);
        refuses
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.state().parked.iter().map(|(at, _)| at)).finish()
    }
}

fn refused() -> Error {
    Error::Backend("the store refuses on purpose".into())
}

#[async_trait::async_trait]
impl SessionStore for Stage {
    async fn create(&self, record: &mut Record) -> Result<()> {
        self.park("create").await;
        if self.refuses() {
            return Err(refused());
        }
        self.write(record);
        self.park("created").await;
        Ok(())
    }

    async fn save(&self, record: &Record) -> Result<()> {
        self.park("save").await;
        if self.refuses() {
            return Err(refused());
        }
        self.judge_save(record);
        self.write(record);
        self.park("saved").await;
        Ok(())
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        self.park("load").await;
        let record = self.state().records.get(id).cloned();
        self.park("loaded").await;
        Ok(record)
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        self.park("delete").await;
        if self.refuses() {
            return Err(refused());
        }
        self.state().records.remove(id);
        self.park("deleted").await;
        Ok(())
    }
}
