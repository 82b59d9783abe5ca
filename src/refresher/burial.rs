//! Takes ended grants out of the session store: for as long as a write-back may take, and then in the background.

use std::{future::Future, panic::AssertUnwindSafe};

use futures_util::FutureExt;
use tower_sessions::{session::Id, session_store};

use super::{Core, failures::internal};
use crate::{
    error::{Chain, RefreshError},
    grant::{GrantId, HeldSet},
};

impl Core {
    /// Puts a tombstone over the ended `grant` under `id`, and gives back the set that was there.
    pub(super) async fn bury(
        &self,
        id: Id,
        grant: GrantId,
    ) -> Result<Option<Box<HeldSet>>, RefreshError> {
        self.or_later(id, grant, || self.store.bury(id, grant)).await
    }

    /// Deletes the record that the ended `grant` lives in, and gives back the set that was there.
    pub(super) async fn take(
        &self,
        id: Id,
        grant: GrantId,
    ) -> Result<Option<Box<HeldSet>>, RefreshError> {
        self.or_later(id, grant, || self.store.take(id, grant)).await
    }

    async fn or_later<T, F>(
        &self,
        id: Id,
        grant: GrantId,
        ask: impl FnMut() -> F,
    ) -> Result<T, RefreshError>
    where
        F: Future<Output = session_store::Result<T>>,
    {
        // A store that panics has let go of nothing either.
        let done = AssertUnwindSafe(self.retrying(ask)).catch_unwind().await;
        let done = done.unwrap_or_else(|_panic| Err(internal()));
        if let Err(error) = &done {
            tracing::warn!(%grant, error = %Chain(error), "an ended login's tokens are still in the session store, which is asked again in the background");
            self.store.bury_later(id, grant);
        }
        done
    }
}
