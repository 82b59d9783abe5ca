//! The session store. Token records lie in it, too, where the scene has no other place for them.

use serde_json::Value;
use support::{KEY, sessions::MARK, tokens::key_of};
use tower_token_refresh::{
    token_store::{RecordKey, TokenRecord},
    tower_sessions::{
        SessionStore,
        session::{Id, Record},
        session_store::{Error, Result},
    },
};

use super::{BASKET, Stage, Way};
use crate::Scene;

/// What becomes of a call.
#[derive(PartialEq)]
enum Verdict {
    Go,
    Refuse,
    LoseAnswer,
}

impl Way {
    /// Whether calls for this record stop: those for token records only where the case wants it.
    fn stops_at(&self, record: Option<&Record>) -> bool {
        self.stage.settings.raw || record.is_none_or(|record| !is_token_record(record))
    }

    async fn stop(&self, record: Option<&Record>, at: &'static str) {
        if self.stops_at(record) {
            self.park(at).await;
        }
    }

    fn judge_call(&self, record: Option<&Record>, is_write: bool) -> Result<Verdict> {
        if !self.stops_at(record) {
            return Ok(Verdict::Go);
        }
        let mut state = self.stage.state();
        let refusals = &mut state.refusals;
        let verdict = if refusals.sessions_down {
            Verdict::Refuse
        } else if is_write && refusals.session_writes > 0 {
            refusals.session_writes -= 1;
            Verdict::Refuse
        } else if is_write && refusals.session_answers > 0 {
            refusals.session_answers -= 1;
            Verdict::LoseAnswer
        } else {
            Verdict::Go
        };
        drop(state);
        if verdict != Verdict::Go {
            self.note_fault();
        }
        if verdict == Verdict::Refuse { Err(refused()) } else { Ok(verdict) }
    }

    fn put_record(&self, record: &Record) {
        let key = RecordKey::from_bytes(record.id.0.to_be_bytes());
        let before = token_record(self.stage.state().sessions.get(&record.id));
        let replaced = self.stage.state().sessions.insert(record.id, record.clone());
        if is_token_record(record) {
            let after = token_record(Some(record));
            self.stage.landed(self.life, key, before.as_ref(), after.as_ref());
        } else if let Some(replaced) = replaced {
            if basket_of(record) < basket_of(&replaced) {
                self.stage.state().basket_losses += 1;
            }
            self.stage.remember(replaced);
        }
    }

    async fn answer(
        &self,
        record: Option<&Record>,
        verdict: Verdict,
        at: &'static str,
    ) -> Result<()> {
        self.stop(record, at).await;
        if verdict == Verdict::LoseAnswer { Err(refused()) } else { Ok(()) }
    }
}

#[async_trait::async_trait]
impl SessionStore for Way {
    async fn create(&self, record: &mut Record) -> Result<()> {
        self.stop(Some(record), "create").await;
        let verdict = self.judge_call(Some(record), true)?;
        if self.stage.state().deleted.contains(&record.id) {
            self.stage.note_broken("a deleted session was created again under its old id");
        }
        self.put_record(record);
        self.answer(Some(record), verdict, "created").await
    }

    async fn save(&self, record: &Record) -> Result<()> {
        self.stop(Some(record), "save").await;
        let verdict = self.judge_call(Some(record), true)?;
        let is_there = self.stage.has_session(record.id);
        if !is_there && !is_token_record(record) && self.stage.scene() == Scene::OneProcess {
            self.stage.note_broken("a save brought a deleted session back");
        }
        self.put_record(record);
        self.answer(Some(record), verdict, "saved").await
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        let stored = self.stage.state().sessions.get(id).cloned();
        self.stop(stored.as_ref(), "load").await;
        self.judge_call(stored.as_ref(), false)?;
        let record = self.stage.state().sessions.get(id).cloned();
        self.stop(stored.as_ref(), "loaded").await;
        Ok(record)
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        self.park("delete").await;
        let verdict = self.judge_call(None, true)?;
        let removed = self.stage.state().sessions.remove(id);
        if let Some(removed) = removed {
            self.stage.state().deleted.insert(*id);
            self.stage.remember(removed);
        }
        self.answer(None, verdict, "deleted").await
    }
}

impl Stage {
    fn remember(&self, session: Record) {
        let mut state = self.state();
        if state.earlier.len() >= 12 {
            state.earlier.remove(0);
        }
        state.earlier.push(session);
    }

    /// Something that is not ours writes a session back as it once was, past the guard.
    pub fn resurrect(&self, pick: usize) {
        let mut state = self.state();
        if state.earlier.is_empty() {
            return;
        }
        let index = pick % state.earlier.len();
        let record = state.earlier[index].clone();
        state.deleted.remove(&record.id);
        state.resurrected = true;
        state.basket_losses += 1;
        state.sessions.insert(record.id, record);
    }

    pub fn has_resurrected(&self) -> bool {
        self.state().resurrected
    }

    pub fn has_session(&self, id: Id) -> bool {
        self.state().sessions.contains_key(&id)
    }

    /// Every session, in an order that does not change from run to run.
    pub fn sessions(&self) -> Vec<Id> {
        let state = self.state();
        let sessions = state.sessions.values().filter(|record| !is_token_record(record));
        let mut ids: Vec<_> = sessions.map(|record| record.id).collect();
        ids.sort_by_key(|id| id.0);
        ids
    }

    /// The login that a stored session points to.
    pub fn pointer(&self, id: Id) -> Option<RecordKey> {
        pointer_of(self.state().sessions.get(&id)?.data.get(KEY)?)
    }

    /// What the application has counted up to in a stored session.
    pub fn basket(&self, id: Id) -> u64 {
        self.state().sessions.get(&id).map(basket_of).unwrap_or_default()
    }

    pub fn basket_losses(&self) -> usize {
        self.state().basket_losses
    }

    /// The token record of a login, wherever it lies.
    pub fn record(&self, key: RecordKey) -> Option<TokenRecord> {
        match self.scene() {
            Scene::Swapping => self.tokens.peek(key),
            Scene::OneProcess | Scene::Plain => {
                let id = Id(i128::from_be_bytes(key.to_bytes()));
                token_record(self.state().sessions.get(&id))
            }
        }
    }

    pub(super) fn overwrite(&self, key: RecordKey, record: Option<&TokenRecord>) {
        if self.scene() == Scene::Swapping {
            self.tokens.overwrite(key, record.cloned());
            return;
        }
        let Some(record) = record else { return };
        let id = Id(i128::from_be_bytes(key.to_bytes()));
        if let Some(stored) = self.state().sessions.get_mut(&id) {
            stored.data.insert(MARK.to_owned(), Value::from(record.to_text()));
        }
    }
}

/// The login that the text of a pointer leads to.
pub fn pointer_of(value: &Value) -> Option<RecordKey> {
    let grant = value.as_str()?.strip_prefix("g1.").expect("a pointer begins with its version");
    Some(key_of(grant))
}

fn basket_of(record: &Record) -> u64 {
    record.data.get(BASKET).and_then(Value::as_u64).unwrap_or_default()
}

fn is_token_record(record: &Record) -> bool {
    record.data.contains_key(MARK)
}

/// None also for the list that finds logins by a name.
fn token_record(record: Option<&Record>) -> Option<TokenRecord> {
    let text = record?.data.get(MARK)?.as_str()?;
    Some(TokenRecord::from_text(text).expect("a record that can be read"))
}

fn refused() -> Error {
    Error::Backend("the store refuses on purpose".into())
}
