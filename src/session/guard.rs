//! The guarded store: what tower-sessions sees instead of the application's store.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use serde_json::Value;
use tower_sessions::{
    SessionStore,
    session::{Id, Record},
    session_store::Result,
};

use super::{
    aside::{OnMove, OnPending},
    burial::Burials,
    codec::Codec,
    entry::{self, Entry, GuardMark},
    locks::{IdLocks, detached},
    view::Held,
};
use crate::{
    grant::{Generation, GrantId},
    ledger::{Custody, Ending, Ledger},
    metrics,
};

/// A [`SessionStore`] around the application's own that never lets a stale save undo a refresh or a log out.
///
/// Made by the refresher from the store it is given; [`TokenRefresher::session_store`](crate::TokenRefresher::session_store) hands
/// it out. Cheap to clone; clones are one guard.
///
/// It differs from a plain store in what happens to the tokens' key, and in three more things: a `save` of a record that is no
/// longer in the store is dropped (it would bring a deleted session back), `create` always picks a fresh session id, and a session
/// that is deleted together with its login is empty to whoever still loads or carries it. To seed a store in tests use `create`, not
/// `save`.
///
/// Within one process nothing gets between the comparison and the write. Across processes that share a plain store there is a
/// window between the two.
#[derive(Clone)]
pub struct GuardedStore(Arc<Inner>);

pub(super) struct Inner {
    pub(super) store: Arc<dyn SessionStore>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) key: Arc<str>,
    pub(super) codec: Codec,
    pub(super) locks: IdLocks,
    pub(super) mark: GuardMark,
    pub(super) on_move: OnceLock<OnMove>,
    pub(super) on_pending: OnceLock<OnPending>,
    pub(super) burials: Burials,
    warned_of_dropped_save: AtomicBool,
}

impl GuardedStore {
    pub(crate) fn new(
        store: impl SessionStore,
        ledger: Arc<Ledger>,
        key: Arc<str>,
        codec: Codec,
        burials: Burials,
    ) -> Self {
        Self(Arc::new(Inner {
            store: Arc::new(store),
            ledger,
            key,
            codec,
            locks: IdLocks::new(),
            mark: GuardMark::next(),
            on_move: OnceLock::new(),
            on_pending: OnceLock::new(),
            burials,
            warned_of_dropped_save: AtomicBool::new(false),
        }))
    }

    /// What the entries it hands out are marked with.
    pub(crate) fn mark(&self) -> GuardMark {
        self.0.mark
    }

    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.0
    }
}

tokio::task_local! {
    /// A record that has just been read, for the `Session::load` that runs within.
    pub(super) static SUPPLIED: Record;
}

#[async_trait]
impl SessionStore for GuardedStore {
    async fn create(&self, record: &mut Record) -> Result<()> {
        let (inner, mut new) = (self.0.clone(), record.clone());
        *record = detached(async move {
            inner.create(&mut new).await?;
            Ok(new)
        })
        .await?;
        Ok(())
    }

    async fn save(&self, record: &Record) -> Result<()> {
        let (inner, new) = (self.0.clone(), record.clone());
        self.0.locks.exclusively(record.id, async move { inner.save(new).await }).await
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        if let Ok(Some(record)) =
            SUPPLIED.try_with(|record| (record.id == *id).then(|| record.clone()))
        {
            return Ok(Some(record));
        }
        let record = self.0.store.load(id).await?;
        Ok(record.and_then(|record| self.0.present(record)))
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        let (inner, id) = (self.0.clone(), *id);
        self.0.locks.exclusively(id, async move { inner.delete(id).await }).await
    }
}

impl Inner {
    async fn save(&self, mut new: Record) -> Result<()> {
        let Some(stored) = self.session_at(&new.id).await? else {
            metrics::save_dropped();
            if !self.warned_of_dropped_save.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    "a save of a session that is no longer in the store was dropped, so that a deleted session stays deleted; \
                     to seed a store use `create` (this is said once)"
                );
            }
            return Ok(());
        };
        let stored_entry = stored.data.get(&*self.key).cloned();
        match (self.held(&stored), self.held(&new)) {
            (Held::Nothing, _) => self.strip(&mut new),
            // Its end could not be written to the store at the time.
            (Held::Set(grant, _), _) if self.ledger.ending(grant).is_some() => {
                self.put(&mut new, entry::tombstone(grant));
            }
            (Held::Set(grant, _), Held::Nothing) => {
                // A record the grant has left says nothing about the grant.
                if self.ledger.home(grant).is_none_or(|home| home == new.id) {
                    self.ledger.end(grant, Ending::Final);
                }
                self.put(&mut new, entry::tombstone(grant));
            }
            (Held::Unreadable, Held::Nothing) => {}
            (Held::Set(stored_grant, stored_generation), Held::Set(grant, generation))
                if stored_grant == grant && generation > stored_generation =>
            {
                self.unmark(&mut new);
                self.store.save(&new).await?;
                self.ledger.entrust(grant, generation, Custody::Record);
                return Ok(());
            }
            _ => {
                if let Some(entry) = stored_entry {
                    new.data.insert(self.key.to_string(), entry);
                    self.renew(&mut new)?;
                }
            }
        }
        self.store.save(&new).await
    }

    async fn create(self: &Arc<Self>, new: &mut Record) -> Result<()> {
        new.id = Id::default();
        let Held::Set(grant, generation) = self.held(new) else {
            self.unmark(new);
            return self.store.create(new).await;
        };
        let _pin = self.ledger.pin(grant);
        self.unmark(new);
        if let Some(ending) = self.ledger.ending(grant) {
            self.take_out(new, ending);
            return self.store.create(new).await;
        }
        let carried = self.carry_newest(new, grant, generation).await?;
        self.renew(new)?;
        self.store.create(new).await?;
        let left = self.ledger.moved(grant, new.id);
        self.ledger.entrust(grant, carried, Custody::Record);
        // The record is made. Whatever fails from here on must not fail the caller, who would never learn the new id.
        self.compare_again(new, grant, carried).await;
        if let Some(left) = left.filter(|left| *left != new.id) {
            self.ledger.leave(grant, left);
            self.bury_in_the_end(left, grant).await;
            self.tell_of_move(grant, new).await;
        }
        if let Some(Value::String(text)) = new.data.get_mut(&*self.key) {
            entry::mark_guarded(text, self.mark);
        }
        Ok(())
    }

    /// Puts the newest set known anywhere into a record that is about to be created: its own snapshot, the one at the grant's
    /// home, or the ledger's. Gives its generation.
    async fn carry_newest(
        &self,
        new: &mut Record,
        grant: GrantId,
        snapshot: Generation,
    ) -> Result<Generation> {
        let mut carried = snapshot;
        if let Some(home) = self.ledger.home(grant)
            && let Some(record) = self.store.load(&home).await?
            && let Held::Set(at_home, generation) = self.held(&record)
            && at_home == grant
            && generation > carried
            && let Some(text) = record.data.get(&*self.key)
        {
            new.data.insert(self.key.to_string(), text.clone());
            carried = generation;
        }
        if let Some((set, _)) = self.ledger.newest(grant)
            && set.generation > carried
        {
            self.put(new, self.codec.write(&set)?);
            carried = set.generation;
        }
        Ok(carried)
    }

    /// A flight may have landed, or the grant may have ended, while the inner store was creating the record. Whoever comes after
    /// [`Ledger::moved`] finds the new home by itself.
    async fn compare_again(
        self: &Arc<Self>,
        new: &mut Record,
        grant: GrantId,
        carried: Generation,
    ) {
        if let Some(ending) = self.ledger.ending(grant) {
            self.take_out(new, ending);
            return self.bury_in_the_end(new.id, grant).await;
        }
        if let Some((set, _)) = self.ledger.newest(grant)
            && set.generation > carried
        {
            if self.patch(new.id, set.clone(), new.expiry_date).await.is_err() {
                self.leave_pending(set.clone(), new);
            }
            if let Ok(text) = self.codec.write(&set) {
                self.put(new, text);
            }
        }
    }

    async fn delete(&self, id: Id) -> Result<()> {
        let found = self.store.load(&id).await?;
        if let Some(record) = &found
            && let Held::Set(grant, generation) = self.held(record)
            && self.ledger.ending(grant).is_none()
            && self.ledger.home(grant).is_none_or(|home| home == id)
        {
            self.keep_for_create(record, grant, generation, id);
        }
        self.delete_found(id, found).await
    }

    fn keep_for_create(&self, record: &Record, grant: GrantId, generation: Generation, id: Id) {
        self.ledger.home_or(grant, id);
        self.ledger.leave(grant, id);
        let known = self.ledger.newest(grant).is_some_and(|(set, _)| set.generation >= generation);
        if !known
            && let Some(Value::String(text)) = record.data.get(&*self.key)
            && let Ok(Some(set)) = Entry::parse(text).and_then(|entry| self.codec.read(&entry))
        {
            self.ledger.learn(Arc::new(set), Custody::Uncarried);
        }
        self.ledger.entrust(grant, generation, Custody::Uncarried);
    }
}

impl fmt::Debug for GuardedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the inner store: the memory store prints the records with it.
        f.debug_struct("GuardedStore").field("key", &self.0.key).finish_non_exhaustive()
    }
}
