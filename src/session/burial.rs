//! Records that an ended grant has to leave, and that the store does not let go of yet.
//!
//! While the mark of its end lasts, this process serves nothing of the grant. Then, after a restart and in other processes its record
//! would be a login again: so a task of its own goes on asking the store, for about ten minutes, and a shutdown makes it ask once more.

use std::{sync::Arc, time::Duration};

use dashmap::DashSet;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_sessions::{session::Id, session_store::Result};

use super::guard::{GuardedStore, Inner};
use crate::{
    grant::{Generation, GrantId, HeldSet},
    ledger::{Ending, pause},
};

/// With the pauses between them about ten minutes.
const ATTEMPTS: u32 = 80;
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What the store has still to let go of.
pub(crate) struct Burials {
    /// Each has a task that waits for its next attempt.
    waiting: DashSet<(Id, GrantId)>,
    tasks: TaskTracker,
    closing: CancellationToken,
}

impl Burials {
    /// Their tasks run among `tasks`, and come to an end when `closing` is cancelled.
    pub(crate) fn new(tasks: TaskTracker, closing: CancellationToken) -> Self {
        Self { waiting: DashSet::new(), tasks, closing }
    }
}

impl GuardedStore {
    /// The store has refused to bury or to delete: a task of its own goes on asking it.
    pub(crate) fn bury_later(&self, id: Id, grant: GrantId) {
        self.inner().bury_later(id, grant);
    }
}

impl Inner {
    /// Asks the store once, and goes on in a task of its own if it refuses.
    pub(super) async fn bury_in_the_end(self: &Arc<Self>, id: Id, grant: GrantId) {
        if self.bury_or_take(id, grant).await.is_err() {
            self.bury_later(id, grant);
        }
    }

    fn bury_later(self: &Arc<Self>, id: Id, grant: GrantId) {
        if self.burials.waiting.insert((id, grant)) {
            self.burials.tasks.spawn(self.clone().keep_burying(id, grant));
        }
    }

    async fn keep_burying(self: Arc<Self>, id: Id, grant: GrantId) {
        // How the grant ended must be known for as long as this goes on.
        let _pin = self.ledger.pin(grant);
        for attempt in 1..=ATTEMPTS {
            let wait =
                tokio::time::sleep(pause(grant, Generation::FIRST, attempt).min(LONGEST_PAUSE));
            let is_last = self.burials.closing.run_until_cancelled(wait).await.is_none()
                || attempt == ATTEMPTS;
            // Before the attempt: what is to be buried from now on may be more than this attempt buries.
            self.burials.waiting.remove(&(id, grant));
            let inner = self.clone();
            // In a task of its own: a store that panics has not let go either.
            if let Ok(Ok(())) =
                tokio::spawn(async move { inner.bury_or_take(id, grant).await }).await
            {
                return;
            }
            if is_last {
                // Not the store's own words: those for a record that it cannot read may quote it.
                tracing::error!(%grant, "tokens that have moved or ended are still in the session store");
                return;
            }
            if !self.burials.waiting.insert((id, grant)) {
                // Another task has taken over.
                return;
            }
        }
    }

    async fn bury_or_take(self: &Arc<Self>, id: Id, grant: GrantId) -> Result<()> {
        match self.ledger.ending(grant) {
            Some(Ending::WithSession) => self.take_wherever_it_lay(id, grant).await.map(|_| ()),
            _ => self.bury(id, grant).await.map(|_| ()),
        }
    }

    /// Deletes every record of `grant` that this process knows of, `id` last: asked again after an error, it still has the set.
    pub(super) async fn take_wherever_it_lay(
        self: &Arc<Self>,
        id: Id,
        grant: GrantId,
    ) -> Result<Option<Box<HeldSet>>> {
        let mut newest: Option<Box<HeldSet>> = None;
        for id in self.ledger.left_by(grant).into_iter().filter(|left| *left != id).chain([id]) {
            let found = self.take(id, grant).await?;
            newest = newest.into_iter().chain(found).max_by_key(|set| set.generation);
        }
        Ok(newest)
    }
}
