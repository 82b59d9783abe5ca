//! Records of the same store that are no sessions, and who is told when a grant moves or a move leaves something to write.

use std::{future::Future, pin::Pin, sync::Arc};

use time::OffsetDateTime;
use tower_sessions::{
    session::{Id, Record},
    session_store::Result,
};

use super::guard::{GuardedStore, Inner};
use crate::{
    grant::{GrantId, HeldSet},
    ledger::Custody,
    metrics,
};

/// The key that marks a record as no session: whoever comes with its id for a cookie has no session.
pub(crate) const NO_SESSION: &str = "tower_token_refresh.no_session";

/// Told of the set of a grant that lives under another id now, until when that record stays.
pub(crate) type OnMove = Box<
    dyn Fn(Arc<HeldSet>, Id, OffsetDateTime) -> Pin<Box<dyn Future<Output = ()> + Send>>
        + Send
        + Sync,
>;

/// Told of a set that is pending, by the id that its grant lives under and until when that record stays.
pub(crate) type OnPending = Box<dyn Fn(Arc<HeldSet>, Id, OffsetDateTime) + Send + Sync>;

impl GuardedStore {
    /// From now on `tell` is told of every set that the store did not take while its grant moved. The first one stays.
    pub(crate) fn on_pending(&self, tell: OnPending) {
        let _ = self.inner().on_pending.set(tell);
    }

    /// From now on `tell` is told of every grant that moves, before the request that moved it is answered. The first one stays.
    pub(crate) fn on_move(&self, tell: OnMove) {
        let _ = self.inner().on_move.set(tell);
    }
}

impl Inner {
    /// The record under `id`, if it is a session.
    pub(super) async fn session_at(&self, id: &Id) -> Result<Option<Record>> {
        let record = self.store.load(id).await?;
        Ok(record.filter(|record| !is_no_session(record)))
    }

    /// Deletes the record that was found under `id`, unless it is no session.
    pub(super) async fn delete_found(&self, id: Id, found: Option<Record>) -> Result<()> {
        if found.as_ref().is_some_and(is_no_session) {
            return Ok(());
        }
        self.store.delete(&id).await
    }

    /// The store has made the record, and does not take `set` into it.
    pub(super) fn leave_pending(&self, set: Arc<HeldSet>, to: &Record) {
        self.ledger.entrust(set.grant, set.generation, Custody::Pending);
        metrics::set_pending();
        tracing::error!(grant = %set.grant, "the session store does not take the new tokens; they are kept in memory");
        if let Some(tell) = self.on_pending.get() {
            tell(set, to.id, to.expiry_date);
        }
    }

    /// The record has just been made: who follows the grant is told.
    pub(super) async fn tell_of_move(&self, grant: GrantId, to: &Record) {
        let Some(tell) = self.on_move.get() else { return };
        let known = self.ledger.newest(grant).map(|(set, _)| set);
        let set = known.or_else(|| self.stored(to, grant).into_set().map(Arc::from));
        if let Some(set) = set {
            tell(set, to.id, to.expiry_date).await;
        }
    }
}

pub(super) fn is_no_session(record: &Record) -> bool {
    record.data.contains_key(NO_SESSION)
}
