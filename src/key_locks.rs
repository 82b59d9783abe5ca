//! One at a time per key within this process.

use std::{fmt, future::Future, hash::Hash, sync::Arc};

use dashmap::DashMap;
use rustc_hash::FxBuildHasher;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// The keys that are held or waited for. Hashed fast: nobody outside chooses them.
pub(crate) struct Queues<K: Eq + Hash>(DashMap<K, Arc<Mutex<()>>, FxBuildHasher>);

/// A place in the queue of a key. The fields are dropped in this order.
pub(crate) struct Place<K: Eq + Hash> {
    queue: Arc<Mutex<()>>,
    leaves: Leaves<K>,
}

/// Forgets a queue that nobody is in any more.
struct Leaves<K: Eq + Hash> {
    queues: Arc<Queues<K>>,
    key: K,
}

/// The head of the queue of a key. The next one's turn comes before the queue is left.
pub(crate) struct Turn<K: Eq + Hash> {
    _guard: OwnedMutexGuard<()>,
    _leaves: Leaves<K>,
}

impl<K: Eq + Hash + Copy> Queues<K> {
    pub(crate) fn enter(self: &Arc<Self>, key: K) -> Place<K> {
        let queue = self.0.entry(key).or_default().clone();
        Place { queue, leaves: Leaves { queues: self.clone(), key } }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl<K: Eq + Hash> Default for Queues<K> {
    fn default() -> Self {
        Self(DashMap::default())
    }
}

impl<K: Eq + Hash> Place<K> {
    /// Waits for those before.
    pub(crate) async fn turn(self) -> Turn<K> {
        let Self { queue, leaves } = self;
        Turn { _guard: queue.lock_owned().await, _leaves: leaves }
    }

    /// None where somebody holds the key or waits for it.
    pub(crate) fn try_turn(self) -> Option<Turn<K>> {
        let Self { queue, leaves } = self;
        Some(Turn { _guard: queue.try_lock_owned().ok()?, _leaves: leaves })
    }
}

impl<K: Eq + Hash> Drop for Leaves<K> {
    fn drop(&mut self) {
        self.queues.0.remove_if(&self.key, |_, queue| Arc::strong_count(queue) == 1);
    }
}

/// One writer per key. Nobody holds two keys at once, so their order does not matter.
pub(crate) struct KeyLocks<K: Eq + Hash>(Arc<Queues<K>>);

/// The runtime shut down before the work was done.
pub(crate) struct ShutDown;

impl<K: Eq + Hash + Copy + Send + Sync + 'static> KeyLocks<K> {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// Runs `work` in a task of its own while no other work on `key` runs. A panic in it is the
    /// caller's panic.
    ///
    /// Deliberately not in the caller's task: a caller that is dropped while the store is writing
    /// would release the lock before the write has landed, and the write would then land on top of
    /// a later one.
    pub(crate) async fn exclusively<T: Send + 'static>(
        &self,
        key: K,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, ShutDown> {
        let place = self.0.enter(key);
        detached(async move {
            let _turn = place.turn().await;
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

impl<K: Eq + Hash> fmt::Debug for KeyLocks<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyLocks")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_never_ends_holds_up_its_own_key_only() {
        let locks = KeyLocks::new();
        let hung = locks.exclusively(0, std::future::pending::<()>());
        assert!(futures_util::poll!(std::pin::pin!(hung)).is_pending());
        for key in 1..2_000 {
            assert!(locks.exclusively(key, async {}).await.is_ok());
        }
        let same = locks.exclusively(0, async {});
        assert!(futures_util::poll!(std::pin::pin!(same)).is_pending());
        tokio::task::yield_now().await;
        assert_eq!(locks.0.len(), 1, "a key that nobody works on is forgotten");
    }
}
