//! Locks within one process.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use dashmap::DashMap;
use rustc_hash::FxBuildHasher;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{LockError, LockGuard, LockKey, LockService, guard::Lease};
use crate::clock::Clock;

/// A [`LockService`] for the tasks of one process. Whoever has waited longest is next. Cheap to
/// clone; clones are one.
#[derive(Clone)]
pub struct LocalLock {
    queues: Arc<Queues>,
    clock: Clock,
}

/// The keys that are held or waited for.
#[derive(Default)]
pub(super) struct Queues(DashMap<LockKey, Arc<Mutex<()>>, FxBuildHasher>);

/// A place in the queue of a key. The fields are dropped in this order.
pub(super) struct Place {
    queue: Arc<Mutex<()>>,
    _leaves: Leaves,
}

/// Forgets a queue that nobody is in any more.
struct Leaves {
    queues: Arc<Queues>,
    key: LockKey,
}

/// The head of the queue of a key. The next one's turn comes before the place is left.
pub(super) struct Turn {
    _guard: OwnedMutexGuard<()>,
    _place: Place,
}

impl LocalLock {
    /// Makes a service in which all keys are free.
    #[must_use]
    pub fn new() -> Self {
        Self { queues: Arc::default(), clock: Clock::system() }
    }

    fn guard(&self, key: &str, turn: Turn) -> LockGuard {
        let now = self.clock.now();
        LockGuard::new(key, now, None, Box::new(turn), None)
    }
}

impl Queues {
    pub(super) fn enter(self: &Arc<Self>, key: LockKey) -> Place {
        let queue = self.0.entry(key).or_default().clone();
        Place { queue, _leaves: Leaves { queues: self.clone(), key } }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Place {
    /// Waits for those before.
    pub(super) async fn turn(self) -> Turn {
        let guard = self.queue.clone().lock_owned().await;
        Turn { _guard: guard, _place: self }
    }

    /// None where somebody holds the key or waits for it.
    pub(super) fn try_turn(self) -> Option<Turn> {
        let guard = self.queue.clone().try_lock_owned().ok()?;
        Some(Turn { _guard: guard, _place: self })
    }
}

impl Drop for Leaves {
    fn drop(&mut self) {
        self.queues.0.remove_if(&self.key, |_, queue| Arc::strong_count(queue) == 1);
    }
}

#[async_trait]
impl Lease for Turn {
    fn is_held(&self) -> bool {
        true
    }

    async fn release(self: Box<Self>) -> Result<(), LockError> {
        Ok(())
    }

    fn release_later(self: Box<Self>) {}
}

#[async_trait]
impl LockService for LocalLock {
    async fn acquire_within(&self, key: &str, limit: Duration) -> Result<LockGuard, LockError> {
        let turn = self.queues.enter(LockKey::of(key, None)?).turn();
        match tokio::time::timeout(limit, turn).await {
            Ok(turn) => Ok(self.guard(key, turn)),
            Err(_elapsed) => Err(LockError::Timeout { limit }),
        }
    }

    async fn try_acquire(&self, key: &str) -> Result<Option<LockGuard>, LockError> {
        let turn = self.queues.enter(LockKey::of(key, None)?).try_turn();
        Ok(turn.map(|turn| self.guard(key, turn)))
    }

    async fn released(&self, key: &str) -> Result<(), LockError> {
        self.queues.enter(LockKey::of(key, None)?).turn().await;
        Ok(())
    }

    async fn health(&self) -> Result<(), LockError> {
        Ok(())
    }
}

impl Default for LocalLock {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for LocalLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalLock").field("keys", &self.queues.len()).finish_non_exhaustive()
    }
}
