//! One writer per session id within this process.

use std::{
    fmt,
    future::Future,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use tokio::sync::Mutex;
use tower_sessions::{
    session::Id,
    session_store::{Error, Result},
};

const STRIPES: usize = 256;

/// Striped locks by session id. Nobody holds two at once, so their order does not matter.
pub(crate) struct IdLocks {
    stripes: Box<[Arc<Mutex<()>>]>,
    hasher: RandomState,
}

impl IdLocks {
    pub(crate) fn new() -> Self {
        Self { stripes: (0..STRIPES).map(|_| Arc::default()).collect(), hasher: RandomState::new() }
    }

    /// Runs `work` in a task of its own while no other work on `id` runs.
    ///
    /// Deliberately not in the caller's task: a caller that is dropped while the store is writing would release the lock before
    /// the write has landed, and the write would then land on top of a later one.
    pub(crate) async fn exclusively<T: Send + 'static>(
        &self,
        id: Id,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let index = self.hasher.hash_one(id.0) as usize % STRIPES;
        let stripe = self.stripes[index].clone();
        detached(async move {
            let _held = stripe.lock_owned().await;
            work.await
        })
        .await
    }
}

/// Runs `work` in a task of its own: it goes on when the caller goes away. A panic in it is the caller's panic.
pub(crate) async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    match tokio::spawn(work).await {
        Ok(result) => result,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::Backend("the runtime is shutting down".into())),
        },
    }
}

impl fmt::Debug for IdLocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdLocks").field("stripes", &self.stripes.len()).finish()
    }
}
