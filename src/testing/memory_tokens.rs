//! A token store that compares and swaps, in memory.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use tokio::sync::broadcast;

use crate::{
    clock::Clock,
    token_store::{
        Ended, Ending, Loaded, NameKey, Put, RecordKey, RecordListener, RecordState, RecordVersion,
        StoreError, Swapped, TokenRecord, TokenStore,
    },
};

/// A [`TokenStore`] in memory that compares and swaps. To test several processes, give clones of
/// one to several refreshers. It never drops a record while a clone is left.
///
/// ```
/// use tower_token_refresh::{ClientAuth, TokenEndpoint, TokenRefresher};
/// use tower_token_refresh::{testing::MemoryTokens, tower_sessions::MemoryStore};
///
/// # fn main() -> Result<(), tower_token_refresh::ConfigError> {
/// let (sessions, tokens) = (MemoryStore::default(), MemoryTokens::new());
/// let process = || {
///     let auth = ClientAuth::basic("web", "secret");
///     let endpoint = TokenEndpoint::new("https://id.example/token", auth);
///     TokenRefresher::builder(endpoint, sessions.clone()).token_store(tokens.clone()).build()
/// };
/// let (one, other) = (process()?, process()?);
/// # let _ = (one, other);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct MemoryTokens {
    kept: Arc<Mutex<Kept>>,
    clock: Option<Clock>,
    /// None where the store tells nobody.
    changes: Option<Changes>,
}

/// The connections by which refreshers hear of changes: hanging up replaces the sender.
type Changes = Arc<Mutex<broadcast::Sender<Change>>>;
/// What happened to a record: its grant ended, or a refresh of it did.
type Change = (RecordKey, Option<Ending>);

const MOST_UNHEARD: usize = 1_024;

#[derive(Default)]
struct Kept {
    records: HashMap<RecordKey, TokenRecord>,
    names: HashMap<NameKey, Vec<RecordKey>>,
}

impl MemoryTokens {
    /// Makes an empty store without a clock of its own.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the store tell the time by `clock`, as a database server does.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Makes the store [tell](TokenStore::listen) every refresher what the others do, as Redis and
    /// PostgreSQL do.
    #[must_use]
    pub fn telling(mut self) -> Self {
        self.changes = Some(Arc::new(Mutex::new(broadcast::Sender::new(MOST_UNHEARD))));
        self
    }

    /// Closes the connections by which refreshers [hear](TokenStore::listen) of changes. They
    /// connect again after a while, and miss what happens until then.
    pub fn hang_up(&self) {
        if let Some(changes) = &self.changes {
            *lock(changes) = broadcast::Sender::new(MOST_UNHEARD);
        }
    }

    fn tell(&self, key: RecordKey, new: &TokenRecord) {
        if let Some(changes) = &self.changes
            && !matches!(new.state(), RecordState::Presenting { .. })
        {
            // Nobody may be listening.
            let _ = lock(changes).send((key, new.ending()));
        }
    }

    /// The record of `key`.
    #[must_use]
    pub fn peek(&self, key: RecordKey) -> Option<TokenRecord> {
        self.kept().records.get(&key).cloned()
    }

    /// Every key with its record, in no order.
    #[must_use]
    pub fn records(&self) -> Vec<(RecordKey, TokenRecord)> {
        self.kept().records.iter().map(|(key, record)| (*key, record.clone())).collect()
    }

    /// Writes a record without any rule, to simulate a store that lost its last write. None removes
    /// the record.
    pub fn overwrite(&self, key: RecordKey, record: Option<TokenRecord>) {
        let mut kept = self.kept();
        match record {
            Some(record) => kept.records.insert(key, record),
            None => kept.records.remove(&key),
        };
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        lock(&self.kept)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Kept {
    fn note(&mut self, key: RecordKey, names: &[NameKey]) {
        for name in names {
            let keys = self.names.entry(*name).or_default();
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
    }
}

#[async_trait]
impl TokenStore for MemoryTokens {
    fn compares_and_swaps(&self) -> bool {
        true
    }

    async fn load(&self, key: RecordKey) -> Result<Loaded, StoreError> {
        let loaded = Loaded::new(self.peek(key));
        Ok(match &self.clock {
            Some(clock) => loaded.at(clock.now()),
            None => loaded,
        })
    }

    async fn create(
        &self,
        key: RecordKey,
        record: &TokenRecord,
        names: &[NameKey],
    ) -> Result<(), StoreError> {
        let mut kept = self.kept();
        if kept.records.contains_key(&key) {
            return Err(StoreError::backend("there is a record already"));
        }
        kept.records.insert(key, record.clone());
        kept.note(key, names);
        Ok(())
    }

    async fn swap(
        &self,
        key: RecordKey,
        expected: RecordVersion,
        new: &TokenRecord,
    ) -> Result<Swapped, StoreError> {
        let mut kept = self.kept();
        match kept.records.get_mut(&key) {
            Some(stored) if stored.version() == expected => {
                stored.clone_from(new);
                self.tell(key, new);
                Ok(Swapped::Done)
            }
            _ => Ok(Swapped::Changed),
        }
    }

    async fn put_newer(
        &self,
        key: RecordKey,
        new: &TokenRecord,
        names: &[NameKey],
    ) -> Result<Put, StoreError> {
        let mut kept = self.kept();
        let Some(stored) = kept.records.get_mut(&key) else { return Ok(Put::Absent) };
        let put = stored.judge(new);
        if put == Put::Stored {
            stored.clone_from(new);
            kept.note(key, names);
            self.tell(key, new);
        }
        Ok(put)
    }

    async fn end(
        &self,
        key: RecordKey,
        ending: &Ending,
        up_to: Option<u64>,
    ) -> Result<Ended, StoreError> {
        let mut kept = self.kept();
        let Some(stored) = kept.records.get_mut(&key) else { return Ok(Ended::Absent) };
        if let Some(before) = stored.ending() {
            return Ok(Ended::Before(before));
        }
        if up_to.is_some_and(|up_to| stored.generation() > up_to) {
            return Ok(Ended::Newer(stored.clone()));
        }
        let ended = stored.ended(ending);
        self.tell(key, &ended);
        Ok(Ended::Replaced(std::mem::replace(stored, ended)))
    }

    async fn find(&self, name: NameKey) -> Result<Vec<RecordKey>, StoreError> {
        Ok(self.kept().names.get(&name).cloned().unwrap_or_default())
    }

    async fn listen(&self, listener: &dyn RecordListener) -> Result<(), StoreError> {
        let Some(changes) = &self.changes else { return Ok(()) };
        let mut changes = lock(changes).subscribe();
        listener.listening();
        loop {
            match changes.recv().await {
                Ok((key, Some(ending))) => listener.ended(key, ending),
                Ok((key, None)) => listener.changed(key),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => {
                    return Err(StoreError::backend("the connection was closed"));
                }
            }
        }
    }
}

impl fmt::Debug for MemoryTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTokens").field("records", &self.kept().records.len()).finish()
    }
}
