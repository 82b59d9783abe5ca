//! The store and the way to the provider, stopped before and after everything they do until the schedule lets them go on.
//!
//! Each write is judged the moment it lands; a broken promise is noted with the state that shows it.

mod way;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;
use tokio::sync::oneshot;
use tower_token_refresh::tower_sessions::{
    SessionStore,
    session::{Id, Record},
    session_store::{Error, Result},
};

pub const KEY: &str = "oauth.tokens";

/// Everything that waits for the schedule, and everything that has been seen.
#[derive(Clone, Default)]
pub struct Stage(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    passing: bool,
    slow: bool,
    jumped: bool,
    parked: Vec<(&'static str, oneshot::Sender<()>)>,
    records: HashMap<Id, Record>,
    /// Every set that was ever in the store: whose, its access token, its refresh token.
    stored: Vec<(String, String, String)>,
    refused_writes: usize,
    refused_ever: bool,
    next_failure: Option<Failure>,
    /// Refresh tokens that were presented and got no answer.
    in_doubt: Vec<String>,
    /// Refresh tokens that may be presented again.
    again: Vec<String>,
    /// Who lost a login because the answer to its refresh got lost.
    lost: Vec<String>,
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

/// An entry as a stranger reads it. `subject` names the login.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    Nothing,
    Tombstone { grant: String },
    Live { grant: String, generation: u64, subject: String, access: String, refresh: String },
}

impl Entry {
    pub fn of(record: &Record) -> Self {
        record.data.get(KEY).and_then(Value::as_str).map_or(Self::Nothing, Self::parse)
    }

    pub fn parse(text: &str) -> Self {
        let parts: Vec<_> = text.splitn(5, '.').collect();
        let grant = parts[1].to_owned();
        if parts[2] == "ended" {
            return Self::Tombstone { grant };
        }
        let payload: Value = serde_json::from_str(parts[4]).expect("the payload is JSON");
        let text = |name: &str| payload[name].as_str().expect("a string").to_owned();
        Self::Live {
            grant,
            generation: parts[2].parse().expect("a number"),
            subject: text("subject"),
            access: text("access_token"),
            refresh: text("refresh_token"),
        }
    }
}

impl Stage {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing stops any more, as when nobody looks.
    pub fn let_everything_pass(&self, pass: bool) {
        let mut state = self.state();
        state.passing = pass;
        if pass {
            state.parked.clear();
        }
    }

    async fn park(&self, at: &'static str) {
        if self.state().passing {
            return;
        }
        let (release, released) = oneshot::channel();
        self.state().parked.push((at, release));
        // Fails when everything may pass, and when the case is over.
        let _ = released.await;
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

    pub fn refused_ever(&self) -> bool {
        self.state().refused_ever
    }

    pub fn fail_next_request(&self, failure: Failure) {
        self.state().next_failure = Some(failure);
    }

    /// By a clock that has jumped nobody knows what is good.
    pub fn note_jump(&self) {
        self.state().jumped = true;
    }

    /// Whether an answer that got lost has cost this login its tokens.
    pub fn has_lost(&self, subject: &str) -> bool {
        self.state().lost.iter().any(|lost| lost == subject)
    }

    pub fn failed_ever(&self, refresh: &str) -> bool {
        let state = self.state();
        state.in_doubt.iter().chain(&state.again).any(|failed| failed == refresh)
    }

    /// From here on requests may be served before the store has their set, as with a store that refuses.
    pub fn note_slow(&self) {
        self.state().slow = true;
    }

    pub fn was_slow(&self) -> bool {
        self.state().slow
    }

    /// Nobody remembers what is in doubt.
    pub fn forget_doubts(&self) {
        let mut state = self.state();
        let doubts = std::mem::take(&mut state.in_doubt);
        state.again.extend(doubts);
    }

    /// Something that is not ours takes the tokens out of a record.
    pub fn wipe(&self, id: Id) {
        if let Some(record) = self.state().records.get_mut(&id) {
            record.data.remove(KEY);
        }
    }

    pub fn has_record(&self, id: Id) -> bool {
        self.state().records.contains_key(&id)
    }

    /// The live entries of `subject`, whatever record they lie in.
    pub fn live(&self, subject: &str) -> Vec<Entry> {
        let entries = self.state().records.values().map(Entry::of).collect::<Vec<_>>();
        entries
            .into_iter()
            .filter(|entry| matches!(entry, Entry::Live { subject: of, .. } if of == subject))
            .collect()
    }

    pub fn was_stored(&self, access_token: &str) -> bool {
        self.state().stored.iter().any(|(_, access, _)| access == access_token)
    }

    /// Every refresh token that was ever in the store, and whose it is.
    pub fn refresh_tokens(&self) -> Vec<(String, String)> {
        let state = self.state();
        state.stored.iter().map(|(subject, _, refresh)| (subject.clone(), refresh.clone())).collect()
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

    fn write(&self, record: &Record) {
        let mut state = self.state();
        let new = Entry::of(record);
        if let Entry::Live { subject, access, refresh, .. } = &new {
            state.stored.push((subject.clone(), access.clone(), refresh.clone()));
        }
        state.records.insert(record.id, record.clone());
    }

    fn judge_save(&self, record: &Record) {
        let new = Entry::of(record);
        let broken = match (self.state().records.get(&record.id).map(Entry::of), &new) {
            (None, _) => Some("a save brought a deleted session back".to_owned()),
            (Some(Entry::Nothing), Entry::Live { .. }) => {
                Some("a save brought tokens into a record without".to_owned())
            }
            (Some(Entry::Tombstone { .. }), Entry::Live { .. } | Entry::Nothing) => {
                Some("a save took a tombstone away".to_owned())
            }
            (
                Some(Entry::Live { grant: stored, generation: newest, .. }),
                Entry::Live { grant, generation, .. },
            ) if stored == *grant && *generation < newest => {
                Some(format!("generation {generation} was written over {newest}"))
            }
            (Some(Entry::Live { grant: stored, .. }), Entry::Live { grant, .. }) if stored != *grant => {
                Some("a save put one grant over another".to_owned())
            }
            _ => None,
        };
        if let Some(broken) = broken {
            self.note_broken(broken);
        }
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
        self.state().records.remove(id);
        self.park("deleted").await;
        Ok(())
    }
}
