//! A token store that stops at gates, fails or panics when told to, and its records as a stranger
//! reads them.

use std::{
    any::Any,
    sync::{Arc, Mutex, PoisonError},
};

use aws_lc_rs::digest::{Context, SHA256};
use serde_json::Value;
use tower_token_refresh::{
    testing::MemoryTokens,
    token_store::{
        Ended, Ending, Loaded, NameKey, Put, RecordKey, RecordListener, RecordVersion, StoreError,
        Swapped, TokenRecord, TokenStore,
    },
};

use crate::{
    script::{Gate, Script, Verdict, busy},
    seal,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenOp {
    Load,
    Create,
    /// `swap`: a flight marks its record, or takes the mark back.
    Swap,
    Put,
    End,
    Find,
}

#[derive(Clone, Debug)]
pub struct ScriptedTokens {
    inner: Arc<dyn TokenStore>,
    /// The same, if it is one.
    memory: Option<MemoryTokens>,
    script: NoDebug,
    created: Arc<Mutex<Vec<RecordKey>>>,
}

#[derive(Clone, Default)]
struct NoDebug(Script<TokenOp>);

impl std::fmt::Debug for NoDebug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Script")
    }
}

impl ScriptedTokens {
    pub fn new(inner: impl TokenStore) -> Self {
        let memory = (&inner as &dyn Any).downcast_ref().cloned();
        let (script, created) = (NoDebug::default(), Arc::default());
        Self { inner: Arc::new(inner), memory, script, created }
    }

    /// The same records, by a way with gates of its own: another process.
    pub fn another_way(&self) -> Self {
        Self { script: NoDebug::default(), ..self.clone() }
    }

    /// The next call of `op` stops before the store sees it.
    pub fn gate_before(&self, op: TokenOp) -> Gate {
        self.script.0.gate_before(op, 0)
    }

    /// The next call of `op` stops after the store has done it.
    pub fn gate_after(&self, op: TokenOp) -> Gate {
        self.script.0.gate_after(op, 0)
    }

    /// The next call of `op` fails without reaching the store.
    pub fn fail_next(&self, op: TokenOp) {
        self.script.0.fail_next(op);
    }

    /// The next call of `op` panics without reaching the store.
    pub fn panic_next(&self, op: TokenOp) {
        self.script.0.panic_next(op);
    }

    /// The next call of `op` is done by the store and fails all the same.
    pub fn lose_next_answer(&self, op: TokenOp) {
        self.script.0.lose_next_answer(op);
    }

    /// Every call of `op` fails until [`accept`](Self::accept).
    pub fn refuse(&self, op: TokenOp) {
        self.script.0.refuse(op);
    }

    pub fn accept(&self, op: TokenOp) {
        self.script.0.accept(op);
    }

    /// Every call that writes fails, or none.
    pub fn refuse_writes(&self, refuse: bool) {
        for op in [TokenOp::Create, TokenOp::Swap, TokenOp::Put, TokenOp::End] {
            if refuse { self.refuse(op) } else { self.accept(op) }
        }
    }

    /// Every call fails, or none.
    pub fn refuse_everything(&self, refuse: bool) {
        self.refuse_writes(refuse);
        for op in [TokenOp::Load, TokenOp::Find] {
            if refuse { self.refuse(op) } else { self.accept(op) }
        }
    }

    pub fn calls(&self, op: TokenOp) -> usize {
        self.script.0.calls(op)
    }

    /// Reads past every gate and script.
    pub async fn peek(&self, key: RecordKey) -> Option<TokenRecord> {
        self.inner.load(key).await.expect("the inner store does not fail").record
    }

    pub(crate) fn memory(&self) -> Option<&MemoryTokens> {
        self.memory.as_ref()
    }

    /// Every token record that a login has tried to create, in this order. Reads past every gate
    /// and script.
    pub async fn records(&self) -> Vec<StoredTokens> {
        let created = self.created.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut records = Vec::new();
        for key in created {
            records.push(StoredTokens::of(key, self.peek(key).await.as_ref()));
        }
        records
    }

    /// The store itself.
    pub fn inner(&self) -> &Arc<dyn TokenStore> {
        &self.inner
    }

    async fn run<T>(
        &self,
        op: TokenOp,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let verdict = self.script.0.enter(op).await;
        if verdict == Verdict::Refuse {
            return Err(StoreError::backend("the store refuses on purpose"));
        }
        let done = busy(call).await;
        self.script.0.leave(op).await;
        match verdict {
            Verdict::LoseAnswer => Err(StoreError::backend("the answer got lost on purpose")),
            _ => done,
        }
    }
}

#[async_trait::async_trait]
impl TokenStore for ScriptedTokens {
    fn compares_and_swaps(&self) -> bool {
        self.inner.compares_and_swaps()
    }

    async fn load(&self, key: RecordKey) -> Result<Loaded, StoreError> {
        self.run(TokenOp::Load, self.inner.load(key)).await
    }

    async fn create(
        &self,
        key: RecordKey,
        record: &TokenRecord,
        names: &[NameKey],
    ) -> Result<(), StoreError> {
        self.created.lock().unwrap_or_else(PoisonError::into_inner).push(key);
        self.run(TokenOp::Create, self.inner.create(key, record, names)).await
    }

    async fn swap(
        &self,
        key: RecordKey,
        expected: RecordVersion,
        new: &TokenRecord,
    ) -> Result<Swapped, StoreError> {
        self.run(TokenOp::Swap, self.inner.swap(key, expected, new)).await
    }

    async fn put_newer(
        &self,
        key: RecordKey,
        new: &TokenRecord,
        names: &[NameKey],
    ) -> Result<Put, StoreError> {
        self.run(TokenOp::Put, self.inner.put_newer(key, new, names)).await
    }

    async fn end(
        &self,
        key: RecordKey,
        ending: &Ending,
        up_to: Option<u64>,
    ) -> Result<Ended, StoreError> {
        self.run(TokenOp::End, self.inner.end(key, ending, up_to)).await
    }

    async fn find(&self, name: NameKey) -> Result<Vec<RecordKey>, StoreError> {
        self.run(TokenOp::Find, self.inner.find(name)).await
    }

    async fn listen(&self, listener: &dyn RecordListener) -> Result<(), StoreError> {
        self.inner.listen(listener).await
    }
}

/// The key of the record of a grant: what the documentation says it is.
pub fn key_of(grant: &str) -> RecordKey {
    let mut id = [0; 16];
    for (byte, digits) in id.iter_mut().zip(grant.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).expect("hexadecimal digits");
        *byte = u8::from_str_radix(digits, 16).expect("hexadecimal digits");
    }
    let mut context = Context::new(&SHA256);
    context.update(b"tower-token-refresh record");
    context.update(&id);
    let mut key = [0; 16];
    key.copy_from_slice(&context.finish().as_ref()[..16]);
    RecordKey::from_bytes(key)
}

/// The same record with some of its fields changed.
pub fn changed(record: &TokenRecord, change: impl FnOnce(&mut Value)) -> TokenRecord {
    let mut json = serde_json::from_str(&record.to_text()).expect("a record is JSON");
    change(&mut json);
    TokenRecord::from_text(&json.to_string()).expect("still a record")
}

/// What a session points to, read the way a stranger would read it.
#[derive(Debug, Clone, PartialEq)]
pub enum StoredTokens {
    /// There is no session, or it holds no pointer.
    NoPointer,
    NoRecord,
    Ended {
        why: String,
        revoke: bool,
        with_session: bool,
    },
    Live {
        generation: u64,
        presenting: bool,
        nonce: String,
        sealed: bool,
        payload: Value,
    },
}

impl StoredTokens {
    pub fn of(key: RecordKey, record: Option<&TokenRecord>) -> Self {
        let Some(record) = record else { return Self::NoRecord };
        let json: Value = serde_json::from_str(&record.to_text()).expect("a record is JSON");
        let state = json["state"].as_str().expect("a state");
        if state == "ended" {
            return Self::Ended {
                why: json["why"].as_str().expect("a reason").to_owned(),
                revoke: json["revoke"].as_bool().expect("a flag"),
                with_session: json["with_session"].as_bool().expect("a flag"),
            };
        }
        let (sealed, payload) = match json["sealed"].as_str() {
            Some(_) => (true, seal::open(key, &json)),
            None => (false, json["tokens"].clone()),
        };
        Self::Live {
            generation: json["generation"].as_u64().expect("a number"),
            presenting: state == "presenting",
            nonce: json["nonce"].as_str().expect("a nonce").to_owned(),
            sealed,
            payload,
        }
    }

    pub fn generation(&self) -> Option<u64> {
        match self {
            Self::Live { generation, .. } => Some(*generation),
            _ => None,
        }
    }

    pub fn is_live(&self) -> bool {
        matches!(self, Self::Live { presenting: false, .. })
    }

    pub fn is_presenting(&self) -> bool {
        matches!(self, Self::Live { presenting: true, .. })
    }

    pub fn is_ended(&self) -> bool {
        matches!(self, Self::Ended { .. })
    }

    /// Why the login ended, if it has.
    pub fn ended_by(&self) -> Option<&str> {
        match self {
            Self::Ended { why, .. } => Some(why),
            _ => None,
        }
    }
}
