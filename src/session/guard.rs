//! The guarded store: what tower-sessions sees instead of the application's store.
//!
//! Tokens need no guard, because they are in no session. Three rules are left, for the sessions:
//!
//! 1. A `save` of a session that is no longer in the store is dropped: it would bring a deleted
//!    session back.
//! 2. A `create` always takes a new id: after `flush`, tower-sessions 0.14 would create the deleted
//!    session again under its old one.
//! 3. A session whose login ended together with its session is empty when it is loaded or written,
//!    and a record that is no session is never loaded as one.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use tower_sessions::{
    Session, SessionStore,
    session::{self, Id, Record},
    session_store::{Error, Result},
};

use super::Pointer;
use crate::{
    key_locks::{KeyLocks, ShutDown, detached},
    metrics,
    tokens::GrantId,
};

/// What this process knows of logins that have ended together with the sessions that point to them.
pub(crate) trait EndedSessions: Send + Sync + 'static {
    /// Whether there are any. Mostly there are none, and then nobody has to look further.
    fn any(&self) -> bool;
    /// Whether the sessions of this login have ended.
    fn contains(&self, grant: GrantId) -> bool;
}

/// A [`SessionStore`] around the application's own that keeps deleted sessions deleted.
///
/// Made by the refresher from the store it is given;
/// [`TokenRefresher::session_store`](crate::TokenRefresher::session_store) hands it out. Cheap to
/// clone; clones share one guard.
///
/// It differs from a plain store in three ways. It drops a `save` of a session that is no longer in
/// the store. `create` always picks a fresh session id. A session that ended together with its
/// login is empty when it is loaded or saved. So use `create`, not `save`, to fill a store in
/// tests.
///
/// Within one process nothing comes between the check and the write. Across processes there is a
/// window between the two, except over the Redis store, which itself drops a save of a session that
/// is gone.
#[derive(Clone)]
pub struct GuardedStore(Arc<Inner>);

struct Inner {
    store: Arc<dyn SessionStore>,
    /// The same, or what lies below the guard of another refresher.
    bare: Arc<dyn SessionStore>,
    pointer: Pointer,
    ended: Box<dyn EndedSessions>,
    is_no_session: fn(&Record) -> bool,
    locks: KeyLocks<Id>,
    warned_of_dropped_save: AtomicBool,
}

impl GuardedStore {
    pub(crate) fn new(
        store: Arc<dyn SessionStore>,
        bare: Arc<dyn SessionStore>,
        pointer: Pointer,
        ended: Box<dyn EndedSessions>,
        is_no_session: fn(&Record) -> bool,
    ) -> Self {
        metrics::begin_saves();
        Self(Arc::new(Inner {
            store,
            bare,
            pointer,
            ended,
            is_no_session,
            locks: KeyLocks::new(),
            warned_of_dropped_save: AtomicBool::new(false),
        }))
    }

    /// Loads `session` again. False, and the session is left as it is, if its record has gone.
    pub(crate) async fn reload(
        &self,
        session: &Session,
    ) -> std::result::Result<bool, session::Error> {
        let Some(id) = session.id() else { return Ok(false) };
        let Some(record) = self.load(&id).await? else { return Ok(false) };
        // `Session::load` would ask the store once more, and empty the session if the record went
        // in between.
        SUPPLIED.scope(record, session.load()).await?;
        Ok(true)
    }

    /// The application's own store, past all guards.
    pub(crate) fn unguarded(&self) -> Arc<dyn SessionStore> {
        self.0.bare.clone()
    }
}

tokio::task_local! {
    /// A record that has just been read, for the `Session::load` that runs within.
    static SUPPLIED: Record;
}

#[async_trait]
impl SessionStore for GuardedStore {
    async fn create(&self, record: &mut Record) -> Result<()> {
        let (inner, mut new) = (self.0.clone(), record.clone());
        new.id = Id::default();
        inner.empty_if_ended(&mut new);
        let created = detached(async move {
            inner.store.create(&mut new).await?;
            Ok(new)
        });
        *record = created.await.unwrap_or_else(shut_down)?;
        Ok(())
    }

    async fn save(&self, record: &Record) -> Result<()> {
        let (inner, new) = (self.0.clone(), record.clone());
        let saved = self.0.locks.exclusively(record.id, async move { inner.save(new).await });
        saved.await.unwrap_or_else(shut_down)
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        let supplied = SUPPLIED.try_with(|record| (record.id == *id).then(|| record.clone()));
        if let Ok(Some(record)) = supplied {
            return Ok(Some(record));
        }
        self.0.load(id).await
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        let (inner, id) = (self.0.clone(), *id);
        let deleted = async move { inner.store.delete(&id).await };
        self.0.locks.exclusively(id, deleted).await.unwrap_or_else(shut_down)
    }
}

impl Inner {
    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        let Some(mut record) = self.store.load(id).await? else { return Ok(None) };
        self.empty_if_ended(&mut record);
        Ok(Some(record).filter(|record| !(self.is_no_session)(record)))
    }

    async fn save(&self, mut new: Record) -> Result<()> {
        if self.load(&new.id).await?.is_none() {
            metrics::save_dropped();
            if !self.warned_of_dropped_save.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    "a save of a session that is no longer in the store was dropped, so that a \
                     deleted session stays deleted; to seed a store use `create` (logged once)"
                );
            }
            return Ok(());
        }
        self.empty_if_ended(&mut new);
        self.store.save(&new).await
    }

    /// Empties a session whose login ended with it: whatever else in it says who is logged in
    /// (axum-login's user, say) must not live on.
    fn empty_if_ended(&self, record: &mut Record) {
        if self.ended.any()
            && self.pointer.in_record(record).is_some_and(|grant| self.ended.contains(grant))
        {
            record.data.clear();
        }
    }
}

fn shut_down<T>(_: ShutDown) -> Result<T> {
    Err(Error::Backend("the runtime is shutting down".into()))
}

impl fmt::Debug for GuardedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the store itself: the memory store prints its records.
        f.debug_struct("GuardedStore").field("key", &self.0.pointer.key()).finish_non_exhaustive()
    }
}
