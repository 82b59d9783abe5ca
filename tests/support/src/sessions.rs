//! A session store that stops at gates, fails or panics when told to.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use tower_token_refresh::tower_sessions::{
    SessionStore,
    session::{Id, Record},
    session_store::{Error, Result},
};

use crate::script::{Gate, Script, Verdict, busy};

/// What marks a record in a session store as no session.
pub const MARK: &str = "tower_token_refresh";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    Create,
    Save,
    Load,
    Delete,
}

/// Scripts the calls for sessions. Those for token records pass unseen, unless
/// [`scripting_token_records`](Self::scripting_token_records).
#[derive(Clone)]
pub struct ScriptedSessions {
    inner: Arc<dyn SessionStore>,
    script: Script<Op>,
    seen: Arc<Mutex<Seen>>,
    scripts_token_records: bool,
}

#[derive(Default)]
struct Seen {
    sessions: Vec<Id>,
    token_records: Vec<Id>,
}

impl ScriptedSessions {
    pub fn new(inner: impl SessionStore) -> Self {
        let (script, seen) = (Script::default(), Arc::default());
        Self { inner: Arc::new(inner), script, seen, scripts_token_records: false }
    }

    /// Token records are calls like all others.
    pub fn scripting_token_records(self) -> Self {
        Self { scripts_token_records: true, ..self }
    }

    pub fn gate_before(&self, op: Op) -> Gate {
        self.script.gate_before(op, 0)
    }

    pub fn gate_after(&self, op: Op) -> Gate {
        self.script.gate_after(op, 0)
    }

    pub fn fail_next(&self, op: Op) {
        self.script.fail_next(op);
    }

    pub fn panic_next(&self, op: Op) {
        self.script.panic_next(op);
    }

    pub fn lose_next_answer(&self, op: Op) {
        self.script.lose_next_answer(op);
    }

    pub fn refuse(&self, op: Op) {
        self.script.refuse(op);
    }

    pub fn accept(&self, op: Op) {
        self.script.accept(op);
    }

    pub fn calls(&self, op: Op) -> usize {
        self.script.calls(op)
    }

    /// Reads past every gate and script.
    pub async fn peek(&self, id: Id) -> Option<Record> {
        self.inner.load(&id).await.expect("the inner store does not fail")
    }

    /// Every session that was created and is still there. Reads past every gate and script.
    pub async fn records(&self) -> Vec<Record> {
        let created = self.seen().sessions.clone();
        let mut records = Vec::new();
        for id in created {
            records.extend(self.peek(id).await);
        }
        records
    }

    /// Every record with tokens or names that was created and is still there.
    pub async fn token_records(&self) -> Vec<Record> {
        let created = self.seen().token_records.clone();
        let mut records = Vec::new();
        for id in created {
            records.extend(self.peek(id).await);
        }
        records
    }

    /// Writes past every gate and script: what another process or a stale replica might do.
    pub async fn overwrite(&self, record: &Record) {
        self.inner.save(record).await.expect("the inner store does not fail");
    }

    /// Deletes past every gate and script.
    pub async fn vanish(&self, id: Id) {
        self.inner.delete(&id).await.expect("the inner store does not fail");
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn passes(&self, id: Id) -> bool {
        !self.scripts_token_records && self.seen().token_records.contains(&id)
    }

    async fn run<T>(&self, op: Op, id: Id, call: impl Future<Output = Result<T>>) -> Result<T> {
        if self.passes(id) {
            return busy(call).await;
        }
        let verdict = self.script.enter(op).await;
        if verdict == Verdict::Refuse {
            return Err(refused());
        }
        let done = busy(call).await;
        self.script.leave(op).await;
        if verdict == Verdict::LoseAnswer { Err(refused()) } else { done }
    }
}

fn refused() -> Error {
    Error::Backend("the store refuses on purpose".into())
}

impl fmt::Debug for ScriptedSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScriptedSessions")
    }
}

#[async_trait::async_trait]
impl SessionStore for ScriptedSessions {
    async fn create(&self, record: &mut Record) -> Result<()> {
        let is_token_record = record.data.contains_key(MARK);
        if is_token_record {
            self.seen().token_records.push(record.id);
        }
        self.run(Op::Create, record.id, self.inner.create(record)).await?;
        if !is_token_record {
            self.seen().sessions.push(record.id);
        }
        Ok(())
    }

    async fn save(&self, record: &Record) -> Result<()> {
        self.run(Op::Save, record.id, self.inner.save(record)).await
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        self.run(Op::Load, *id, self.inner.load(id)).await
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        self.run(Op::Delete, *id, self.inner.delete(id)).await
    }
}
