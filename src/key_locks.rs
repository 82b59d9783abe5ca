//! One writer per key within this process.

use std::{
    fmt,
    future::Future,
    hash::{BuildHasher, Hash, RandomState},
    sync::Arc,
};

use tokio::sync::Mutex;

const STRIPES: usize = 256;

/// Striped locks. Nobody holds two at once, so their order does not matter.
pub(crate) struct KeyLocks {
    stripes: Box<[Arc<Mutex<()>>]>,
    hasher: RandomState,
}

/// The runtime shut down before the work was done.
pub(crate) struct ShutDown;

impl KeyLocks {
    pub(crate) fn new() -> Self {
        let stripes = (0..STRIPES).map(|_| Arc::default()).collect();
        Self { stripes, hasher: RandomState::new() }
    }

    /// Runs `work` in a task of its own while no other work on `key` runs. A panic in it is the
    /// caller's panic.
    ///
    /// Deliberately not in the caller's task: a caller that is dropped while the store is writing
    /// would release the lock before the write has landed, and the write would then land on top of
    /// a later one.
    pub(crate) async fn exclusively<T: Send + 'static>(
        &self,
        key: impl Hash,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, ShutDown> {
        let index = self.hasher.hash_one(key) as usize % STRIPES;
        let stripe = self.stripes[index].clone();
        detached(async move {
            let _held = stripe.lock_owned().await;
            work.await
        })
        .await
    }
}

/// Runs `work` in a task of its own: it goes on when the caller goes away. A panic in it is the
/// caller's panic.
pub(crate) async fn detached<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, ShutDown> {
    match tokio::spawn(work).await {
        Ok(done) => Ok(done),
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(ShutDown),
        },
    }
}

impl fmt::Debug for KeyLocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyLocks")
    }
}
