//! Token records in the application's own session store.
//!
//! Each is a record of its own, marked as no session. A session store cannot compare and write in
//! one step, so each change loads, compares, saves and reads back while no other task of this
//! process changes the same record. That is enough for one process; two of them may overtake each
//! other between the steps.

use std::{fmt, future::Future, sync::Arc, time::SystemTime};

use async_trait::async_trait;
use serde_json::Value;
use time::OffsetDateTime;
use tower_sessions::{
    SessionStore,
    session::{Id, Record},
};

use super::{
    Ended, Ending, Loaded, NameKey, Put, RecordError, RecordKey, RecordVersion, StoreError,
    Swapped, TokenRecord, TokenStore, index,
};
use crate::key_locks::KeyLocks;

/// The key that marks a record as no session.
const MARK: &str = "tower_token_refresh";

/// A [`TokenStore`] in any store of tower-sessions, for one process.
///
/// A refresher without a [`token_store`](crate::TokenRefresherBuilder::token_store) uses it over
/// the session store. Name it yourself if your sessions go through a cache (tower-sessions'
/// `CachingSessionStore`): give the cached store to
/// [`TokenRefresher::builder`](crate::TokenRefresher::builder), and this over the bare store to
/// `token_store`.
///
/// The store that [`TokenRefresher::session_store`](crate::TokenRefresher::session_store) returns
/// never serves a token record as a session. Another session layer over the same store would, to
/// whoever sends the record's id as a cookie. Only somebody who can read the session store can know
/// that id.
#[derive(Clone)]
pub struct InSessions(Arc<Inner>);

struct Inner {
    store: Arc<dyn SessionStore>,
    locks: KeyLocks<[u8; 16]>,
}

/// Whether a record is no session.
pub(crate) fn is_token_record(record: &Record) -> bool {
    record.data.contains_key(MARK)
}

impl InSessions {
    /// Keeps the token records in `store`.
    pub fn new(store: impl SessionStore) -> Self {
        Self::over(Arc::new(store))
    }

    pub(crate) fn over(store: Arc<dyn SessionStore>) -> Self {
        Self(Arc::new(Inner { store, locks: KeyLocks::new() }))
    }

    async fn exclusively<T, F>(
        &self,
        id: [u8; 16],
        work: impl FnOnce(Arc<Inner>) -> F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let done = self.0.locks.exclusively(id, work(self.0.clone())).await;
        done.unwrap_or_else(|_| Err(StoreError::backend("the runtime is shutting down")))
    }

    async fn note(
        &self,
        names: &[NameKey],
        key: RecordKey,
        until: SystemTime,
    ) -> Result<(), StoreError> {
        for name in names {
            let id = name.to_bytes();
            self.exclusively(id, move |inner| async move {
                let found = inner.read(id).await?;
                match index::with(found.as_ref(), key, until) {
                    Some((value, until)) => inner.write(id, value, until, found.is_some()).await,
                    None => Ok(()),
                }
            })
            .await?;
        }
        Ok(())
    }
}

#[async_trait]
impl TokenStore for InSessions {
    fn compares_and_swaps(&self) -> bool {
        false
    }

    async fn load(&self, key: RecordKey) -> Result<Loaded, StoreError> {
        self.0.load(key).await.map(Loaded::new)
    }

    async fn create(
        &self,
        key: RecordKey,
        record: &TokenRecord,
        names: &[NameKey],
    ) -> Result<(), StoreError> {
        let (id, new) = (key.to_bytes(), record.clone());
        self.exclusively(id, move |inner| async move { inner.put(id, &new, false).await }).await?;
        self.note(names, key, record.keep_until()).await
    }

    async fn swap(
        &self,
        key: RecordKey,
        expected: RecordVersion,
        new: &TokenRecord,
    ) -> Result<Swapped, StoreError> {
        let new = new.clone();
        self.exclusively(key.to_bytes(), move |inner| async move {
            match inner.load(key).await? {
                Some(stored) if stored.version() == expected => {
                    inner.replace(key, &new).await?;
                    Ok(Swapped::Done)
                }
                _ => Ok(Swapped::Changed),
            }
        })
        .await
    }

    async fn put_newer(
        &self,
        key: RecordKey,
        new: &TokenRecord,
        names: &[NameKey],
    ) -> Result<Put, StoreError> {
        let record = new.clone();
        let put = self
            .exclusively(key.to_bytes(), move |inner| async move {
                let Some(stored) = inner.load(key).await? else { return Ok(Put::Absent) };
                let put = stored.judge(&record);
                if put == Put::Stored && stored != record {
                    inner.replace(key, &record).await?;
                }
                Ok(put)
            })
            .await?;
        if put == Put::Stored {
            self.note(names, key, new.keep_until()).await?;
        }
        Ok(put)
    }

    async fn end(
        &self,
        key: RecordKey,
        ending: &Ending,
        up_to: Option<u64>,
    ) -> Result<Ended, StoreError> {
        let ending = *ending;
        self.exclusively(key.to_bytes(), move |inner| async move {
            let Some(stored) = inner.load(key).await? else { return Ok(Ended::Absent) };
            if let Some(before) = stored.ending() {
                return Ok(Ended::Before(before));
            }
            if up_to.is_some_and(|up_to| stored.generation() > up_to) {
                return Ok(Ended::Newer(stored));
            }
            inner.replace(key, &stored.ended(&ending)).await?;
            Ok(Ended::Replaced(stored))
        })
        .await
    }

    async fn find(&self, name: NameKey) -> Result<Vec<RecordKey>, StoreError> {
        Ok(self.0.read(name.to_bytes()).await?.as_ref().map(index::keys).unwrap_or_default())
    }
}

impl Inner {
    async fn load(&self, key: RecordKey) -> Result<Option<TokenRecord>, StoreError> {
        let Some(value) = self.read(key.to_bytes()).await? else { return Ok(None) };
        let rule = "it is not a string";
        let text = value.as_str().ok_or(RecordError::Malformed { rule })?;
        Ok(Some(TokenRecord::from_text(text)?))
    }

    /// Writes over a record and reads it back: a store may report success where there was nothing
    /// to write over (Redis `SET XX`).
    async fn replace(&self, key: RecordKey, new: &TokenRecord) -> Result<(), StoreError> {
        self.put(key.to_bytes(), new, true).await?;
        match self.load(key).await? {
            Some(stored) if stored.version() == new.version() => Ok(()),
            _ => Err(StoreError::backend("the session store did not keep what it took")),
        }
    }

    async fn put(&self, id: [u8; 16], new: &TokenRecord, exists: bool) -> Result<(), StoreError> {
        self.write(id, Value::String(new.to_text()), new.keep_until(), exists).await
    }

    async fn read(&self, id: [u8; 16]) -> Result<Option<Value>, StoreError> {
        let id = Id(i128::from_be_bytes(id));
        let Some(mut record) = self.store.load(&id).await.map_err(backend)? else {
            return Ok(None);
        };
        let rule = "a session is in its place";
        record.data.remove(MARK).map(Some).ok_or(RecordError::Malformed { rule }.into())
    }

    async fn write(
        &self,
        id: [u8; 16],
        value: Value,
        until: SystemTime,
        exists: bool,
    ) -> Result<(), StoreError> {
        let id = Id(i128::from_be_bytes(id));
        let data = [(MARK.to_owned(), value)].into();
        let mut record = Record { id, data, expiry_date: expiry(until) };
        if !exists {
            // Some stores save over a record only. All of them create under another id where this
            // one is taken.
            self.store.create(&mut record).await.map_err(backend)?;
            if record.id == id {
                return Ok(());
            }
            self.store.delete(&record.id).await.map_err(backend)?;
            if self.store.load(&id).await.map_err(backend)?.is_some() {
                return Err(StoreError::backend("there is a record already"));
            }
            // It has expired, and lies there still.
            record.id = id;
        }
        self.store.save(&record).await.map_err(backend)
    }
}

/// A minute longer and in whole seconds: stores compare with clocks of their own, some by the
/// second.
fn expiry(keep_until: SystemTime) -> OffsetDateTime {
    const LATEST: i64 = 253_402_300_799; // the end of the year 9999
    let since = keep_until.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(LATEST).saturating_add(61).min(LATEST);
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// A store's own words for a record that it cannot encode or decode may quote it.
fn backend(error: tower_sessions::session_store::Error) -> StoreError {
    use tower_sessions::session_store::Error;
    match error {
        Error::Backend(_) => StoreError::backend(error),
        Error::Encode(_) => StoreError::backend("the session store cannot encode the record"),
        Error::Decode(_) => {
            let rule = "the session store cannot decode it";
            RecordError::Malformed { rule }.into()
        }
    }
}

impl fmt::Debug for InSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the store: the memory store prints its records.
        f.write_str("InSessions")
    }
}
