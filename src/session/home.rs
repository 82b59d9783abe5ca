//! What flights, log in and log out do to the record a grant lives in.

use std::{future::Future, sync::Arc};

use serde_json::Value;
use time::OffsetDateTime;
use tower_sessions::{
    session::{Id, Record},
    session_store::Result,
};

use super::{
    entry::{self, Entry, EntryError},
    guard::{GuardedStore, Inner},
    locks::detached,
    view::Held,
};
use crate::{
    grant::{GrantId, HeldSet},
    ledger::Custody,
};

/// What the store holds of a grant under some session id.
#[derive(Debug)]
pub(crate) enum Stored {
    /// A live set.
    Set(Box<HeldSet>),
    /// No record, or a record that says nothing of this grant but perhaps that it ended.
    Nothing,
    /// An entry that cannot be read.
    Unreadable(EntryError),
}

/// What became of a write-back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patched {
    /// The store has the set now.
    Written,
    /// The store already had this generation, or a later one.
    AlreadyThere,
    /// There is no such record.
    NoRecord,
    /// The record is there and the grant is not in it any more.
    Ended,
}

impl GuardedStore {
    /// What the store itself holds now, whatever a request's snapshot says.
    pub(crate) async fn read(&self, id: Id, grant: GrantId) -> Result<Stored> {
        let Some(record) = self.inner().store.load(&id).await? else {
            return Ok(Stored::Nothing);
        };
        Ok(self.inner().stored(&record, grant))
    }

    /// Loads the record as a request may see it.
    pub(crate) async fn load_record(&self, id: &Id) -> Result<Option<Record>> {
        tower_sessions::SessionStore::load(self, id).await
    }

    /// Writes `set` into the newest record under `id`, over an older generation of its own grant and over nothing else.
    /// Prolongs the record to `expiry`: a refresh counts as activity, and one that was written late shortens nothing.
    pub(crate) async fn patch(
        &self,
        id: Id,
        set: Arc<HeldSet>,
        expiry: OffsetDateTime,
    ) -> Result<Patched> {
        self.inner().patch(id, set, expiry).await
    }

    /// Puts a tombstone over a live set of `grant` under `id`, and gives it back; leaves everything else as it is.
    pub(crate) async fn bury(&self, id: Id, grant: GrantId) -> Result<Option<Box<HeldSet>>> {
        self.inner().bury(id, grant).await
    }

    /// Deletes the record under `id` if `grant` lives or lay there, and gives back the newest set that was found. Of two requests that
    /// got a new id at once, one has left a copy of the session with a tombstone: it goes too.
    pub(crate) async fn take(&self, id: Id, grant: GrantId) -> Result<Option<Box<HeldSet>>> {
        let inner = self.inner().clone();
        // In a task of its own: a caller whose time is over must not leave one of them.
        detached(async move { inner.take_wherever_it_lay(id, grant).await }).await
    }
}

impl Inner {
    pub(super) async fn patch(
        self: &Arc<Self>,
        id: Id,
        set: Arc<HeldSet>,
        expiry: OffsetDateTime,
    ) -> Result<Patched> {
        let patched = self
            .on_record(id, move |inner, mut record| async move {
                if inner.ledger.ending(set.grant).is_some() {
                    return Ok(Patched::Ended);
                }
                match inner.held(&record) {
                    Held::Set(grant, stored) if grant == set.grant && stored >= set.generation => {
                        inner.ledger.entrust(grant, set.generation, Custody::Record);
                        Ok(Patched::AlreadyThere)
                    }
                    Held::Set(grant, _) if grant == set.grant => {
                        inner.put(&mut record, inner.codec.write(&set)?);
                        record.expiry_date = record.expiry_date.max(expiry);
                        inner.store.save(&record).await?;
                        inner.ledger.entrust(grant, set.generation, Custody::Record);
                        Ok(Patched::Written)
                    }
                    _ => Ok(Patched::Ended),
                }
            })
            .await?;
        Ok(patched.unwrap_or(Patched::NoRecord))
    }

    pub(super) async fn bury(
        self: &Arc<Self>,
        id: Id,
        grant: GrantId,
    ) -> Result<Option<Box<HeldSet>>> {
        self.on_record(id, move |inner, mut record| async move {
            if !matches!(inner.held(&record), Held::Set(stored, _) if stored == grant) {
                return Ok(None);
            }
            let found = inner.stored(&record, grant).into_set();
            inner.put(&mut record, entry::tombstone(grant));
            inner.store.save(&record).await?;
            Ok(found)
        })
        .await
        .map(Option::flatten)
    }

    pub(super) async fn take(
        self: &Arc<Self>,
        id: Id,
        grant: GrantId,
    ) -> Result<Option<Box<HeldSet>>> {
        self.on_record(id, move |inner, record| async move {
            match inner.held(&record) {
                Held::Set(stored, _) | Held::Tombstone(stored) if stored == grant => {
                    inner.store.delete(&record.id).await?;
                    Ok(inner.stored(&record, grant).into_set())
                }
                _ => Ok(None),
            }
        })
        .await
        .map(Option::flatten)
    }

    /// Loads the record under `id` and works on it while no other write in this process touches it. None: no such record.
    async fn on_record<T, F>(
        self: &Arc<Self>,
        id: Id,
        work: impl FnOnce(Arc<Self>, Record) -> F + Send + 'static,
    ) -> Result<Option<T>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send,
    {
        let inner = self.clone();
        self.locks
            .exclusively(id, async move {
                match inner.store.load(&id).await? {
                    Some(record) => work(inner, record).await.map(Some),
                    None => Ok(None),
                }
            })
            .await
    }

    pub(super) fn stored(&self, record: &Record, grant: GrantId) -> Stored {
        let text = match record.data.get(&*self.key) {
            None => return Stored::Nothing,
            Some(Value::String(text)) => text,
            Some(_) => return Stored::Unreadable(EntryError::NotAString),
        };
        let parsed = Entry::parse(text);
        if parsed.as_ref().is_ok_and(|entry| entry.grant != grant) {
            return Stored::Nothing;
        }
        match parsed.and_then(|entry| self.codec.read(&entry)) {
            Ok(Some(set)) => Stored::Set(Box::new(set)),
            Ok(None) => Stored::Nothing,
            Err(error) => Stored::Unreadable(error),
        }
    }
}

impl Stored {
    pub(super) fn into_set(self) -> Option<Box<HeldSet>> {
        match self {
            Self::Set(set) => Some(set),
            Self::Nothing | Self::Unreadable(_) => None,
        }
    }
}
