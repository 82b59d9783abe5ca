//! Locks within one process.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{
    LockError, LockGuard, LockKey, LockService,
    guard::Lease,
    measured::{always, measured},
};
use crate::{
    clock::Clock,
    key_locks::{Queues, Turn},
};

/// A label of metrics.
const BACKEND: &str = "local";

/// A [`LockService`] for the tasks of one process. Whoever has waited longest is next. Cheap to
/// clone; clones share one.
#[derive(Clone)]
pub struct LocalLock {
    queues: Arc<Queues<LockKey>>,
    clock: Clock,
}

impl LocalLock {
    /// Makes a service in which all keys are free.
    #[must_use]
    pub fn new() -> Self {
        Self { queues: Arc::default(), clock: Clock::system() }
    }

    fn guard(&self, key: &str, turn: Turn<LockKey>) -> LockGuard {
        let now = self.clock.now();
        LockGuard::new(BACKEND, key, now, Box::new(turn))
    }
}

#[async_trait]
impl Lease for Turn<LockKey> {
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
        let asked = async {
            let turn = self.queues.enter(LockKey::of(key, None)?).turn();
            match tokio::time::timeout(limit, turn).await {
                Ok(turn) => Ok(Some(self.guard(key, turn))),
                Err(_elapsed) => Err(LockError::Timeout { limit }),
            }
        };
        measured(BACKEND, &self.clock, asked).await.and_then(always)
    }

    async fn try_acquire(&self, key: &str) -> Result<Option<LockGuard>, LockError> {
        let asked = async {
            let turn = self.queues.enter(LockKey::of(key, None)?).try_turn();
            Ok(turn.map(|turn| self.guard(key, turn)))
        };
        measured(BACKEND, &self.clock, asked).await
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
