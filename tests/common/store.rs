//! A session store that stops at gates, fails or panics when told to.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::Semaphore;
use tower_token_refresh::tower_sessions::{
    SessionStore,
    session::{Id, Record},
    session_store::{Error, Result},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    Create,
    Save,
    Load,
    Delete,
}

#[derive(Clone)]
pub struct ScriptedStore {
    inner: Arc<dyn SessionStore>,
    script: Arc<Mutex<Script>>,
}

#[derive(Default)]
struct Script {
    before: Vec<(Op, Arc<Latches>)>,
    after: Vec<(Op, Arc<Latches>)>,
    next: VecDeque<(Op, Mishap)>,
    refusing: Vec<Op>,
    calls: Vec<Op>,
    created: Vec<Id>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mishap {
    Error,
    Panic,
}

/// One call stops here until the gate is opened. A dropped gate is open.
pub struct Gate(Arc<Latches>);

struct Latches {
    reached: Semaphore,
    opened: Semaphore,
}

impl Gate {
    fn new() -> Self {
        Self(Arc::new(Latches { reached: Semaphore::new(0), opened: Semaphore::new(0) }))
    }

    /// Until a call stands at the gate. With the clock paused the limit is over as soon as nothing else can happen.
    pub async fn reached(&self) {
        let reached = tokio::time::timeout(Duration::from_secs(60), self.0.reached.acquire()).await;
        reached.expect("no call came to the gate").expect("never closed").forget();
    }

    pub fn open(&self) {
        self.0.opened.add_permits(1);
    }
}

impl Latches {
    async fn pass(&self) {
        self.reached.add_permits(1);
        self.opened.acquire().await.expect("never closed").forget();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

impl ScriptedStore {
    pub fn new(inner: impl SessionStore) -> Self {
        Self { inner: Arc::new(inner), script: Arc::default() }
    }

    /// The next call of `op` stops before the store sees it.
    pub fn gate_before(&self, op: Op) -> Gate {
        let gate = Gate::new();
        self.script().before.push((op, gate.0.clone()));
        gate
    }

    /// The next call of `op` stops after the store has done it.
    pub fn gate_after(&self, op: Op) -> Gate {
        let gate = Gate::new();
        self.script().after.push((op, gate.0.clone()));
        gate
    }

    /// The next call of `op` fails without reaching the store.
    pub fn fail_next(&self, op: Op) {
        self.script().next.push_back((op, Mishap::Error));
    }

    /// The next call of `op` panics without reaching the store.
    pub fn panic_next(&self, op: Op) {
        self.script().next.push_back((op, Mishap::Panic));
    }

    /// Every call of `op` fails until [`accept`](Self::accept).
    pub fn refuse(&self, op: Op) {
        self.script().refusing.push(op);
    }

    pub fn accept(&self, op: Op) {
        self.script().refusing.retain(|refused| *refused != op);
    }

    pub fn calls(&self, op: Op) -> usize {
        self.script().calls.iter().filter(|call| **call == op).count()
    }

    /// Reads past every gate and script.
    pub async fn peek(&self, id: Id) -> Option<Record> {
        self.inner.load(&id).await.expect("the inner store does not fail")
    }

    /// Every record that was created and is still there. Reads past every gate and script.
    pub async fn records(&self) -> Vec<Record> {
        let created = self.script().created.clone();
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

    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn enter(&self, op: Op) -> Result<()> {
        let (mishap, gate) = {
            let mut script = self.script();
            script.calls.push(op);
            let mishap = match script.next.iter().position(|(at, _)| *at == op) {
                Some(index) => script.next.remove(index).map(|(_, mishap)| mishap),
                None => script.refusing.contains(&op).then_some(Mishap::Error),
            };
            (mishap, take(&mut script.before, op))
        };
        if let Some(gate) = gate {
            gate.pass().await;
        }
        match mishap {
            None => Ok(()),
            Some(Mishap::Error) => Err(Error::Backend("the store refuses on purpose".into())),
            Some(Mishap::Panic) => panic!("the store panics on purpose"),
        }
    }

    async fn leave(&self, op: Op) {
        let gate = take(&mut self.script().after, op);
        if let Some(gate) = gate {
            gate.pass().await;
        }
    }
}

/// Calls of all stores of this process: those of other tests make `settle` wait a little longer, no more.
static BUSY: AtomicUsize = AtomicUsize::new(0);

/// Whether a store is at work, as opposed to standing at a gate.
pub fn is_busy() -> bool {
    BUSY.load(Ordering::SeqCst) > 0
}

async fn busy<T>(call: impl Future<Output = T>) -> T {
    struct Done;
    impl Drop for Done {
        fn drop(&mut self) {
            BUSY.fetch_sub(1, Ordering::SeqCst);
        }
    }
    BUSY.fetch_add(1, Ordering::SeqCst);
    let _done = Done;
    call.await
}

fn take(gates: &mut Vec<(Op, Arc<Latches>)>, op: Op) -> Option<Arc<Latches>> {
    let index = gates.iter().position(|(at, _)| *at == op)?;
    Some(gates.remove(index).1)
}

impl fmt::Debug for ScriptedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScriptedStore")
    }
}

#[async_trait::async_trait]
impl SessionStore for ScriptedStore {
    async fn create(&self, record: &mut Record) -> Result<()> {
        self.enter(Op::Create).await?;
        let created = busy(self.inner.create(record)).await;
        self.script().created.push(record.id);
        self.leave(Op::Create).await;
        created
    }

    async fn save(&self, record: &Record) -> Result<()> {
        self.enter(Op::Save).await?;
        let saved = busy(self.inner.save(record)).await;
        self.leave(Op::Save).await;
        saved
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        self.enter(Op::Load).await?;
        let loaded = busy(self.inner.load(id)).await;
        self.leave(Op::Load).await;
        loaded
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        self.enter(Op::Delete).await?;
        let deleted = busy(self.inner.delete(id)).await;
        self.leave(Op::Delete).await;
        deleted
    }
}
