//! A lock service that does what a test tells it.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    Clock,
    lock::{Lease, LocalLock, LockError, LockGuard, LockService},
};

/// A [`LockService`] in memory that fails, takes its time, stands still and loses locks when told
/// to. Clones share one.
///
/// ```
/// use tower_token_refresh::{lock::LockService, testing::FakeLock};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower_token_refresh::lock::LockError> {
/// let locks = FakeLock::new();
/// let guard = locks.acquire("report").await?;
/// locks.lose("report");
/// guard.lost().await;
/// assert!(!guard.is_held());
/// assert!(locks.try_acquire("report").await?.is_some(), "somebody else has it now");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct FakeLock {
    locks: LocalLock,
    script: Arc<Mutex<Script>>,
    standing_still: watch::Sender<bool>,
    clock: Clock,
}

#[derive(Default)]
struct Script {
    refuse_all: bool,
    refuse_next: usize,
    delay: Duration,
    held: HashMap<String, Arc<Hold>>,
}

/// What is held, until it is lost.
struct Hold {
    guard: Mutex<Option<LockGuard>>,
    lost: CancellationToken,
}

struct FakeLease(Arc<Hold>);

impl FakeLock {
    /// Makes a service in which all keys are free.
    #[must_use]
    pub fn new() -> Self {
        let (locks, script) = (LocalLock::new(), Arc::default());
        Self { locks, script, standing_still: watch::Sender::new(false), clock: Clock::system() }
    }

    /// The next call fails with [`LockError::Unavailable`].
    pub fn refuse_next(&self) {
        lock(&self.script).refuse_next += 1;
    }

    /// Every call fails with [`LockError::Unavailable`], or none.
    pub fn refuse(&self, refuse: bool) {
        lock(&self.script).refuse_all = refuse;
    }

    /// Every call takes this long before it begins.
    pub fn delay(&self, delay: Duration) {
        lock(&self.script).delay = delay;
    }

    /// No call goes on, until it is told to: a server that hangs.
    pub fn stand_still(&self, still: bool) {
        self.standing_still.send_replace(still);
    }

    /// Takes `key` away from its holder, as a lease that ends does. Returns whether it was held.
    pub fn lose(&self, key: &str) -> bool {
        let Some(hold) = lock(&self.script).held.remove(key) else { return false };
        let guard = lock(&hold.guard).take();
        hold.lost.cancel();
        guard.is_some()
    }

    /// Takes every key away from its holder. Returns whether any was held.
    pub fn lose_all(&self) -> bool {
        let keys: Vec<_> = lock(&self.script).held.keys().cloned().collect();
        keys.iter().filter(|key| self.lose(key)).count() > 0
    }

    async fn begin(&self) -> Result<(), LockError> {
        let (delay, refuse) = {
            let mut script = lock(&self.script);
            let refuse = script.refuse_all || script.refuse_next > 0;
            script.refuse_next = script.refuse_next.saturating_sub(1);
            (script.delay, refuse)
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        // The sender lives as long as this service.
        let _ = self.standing_still.subscribe().wait_for(|still| !still).await;
        if refuse { Err(LockError::unavailable("the test refuses")) } else { Ok(()) }
    }

    fn hand_out(&self, key: &str, guard: LockGuard) -> LockGuard {
        let hold =
            Arc::new(Hold { guard: Mutex::new(Some(guard)), lost: CancellationToken::new() });
        lock(&self.script).held.insert(key.to_owned(), hold.clone());
        LockGuard::new("fake", key, self.clock.now(), Box::new(FakeLease(hold)))
    }
}

#[async_trait]
impl LockService for FakeLock {
    async fn acquire_within(&self, key: &str, limit: Duration) -> Result<LockGuard, LockError> {
        let acquiring = async {
            self.begin().await?;
            self.locks.acquire_within(key, limit).await
        };
        match tokio::time::timeout(limit, acquiring).await {
            Ok(guard) => guard.map(|guard| self.hand_out(key, guard)),
            Err(_elapsed) => Err(LockError::Timeout { limit }),
        }
    }

    async fn try_acquire(&self, key: &str) -> Result<Option<LockGuard>, LockError> {
        self.begin().await?;
        let guard = self.locks.try_acquire(key).await?;
        Ok(guard.map(|guard| self.hand_out(key, guard)))
    }

    async fn released(&self, key: &str) -> Result<(), LockError> {
        self.begin().await?;
        self.locks.released(key).await
    }

    async fn health(&self) -> Result<(), LockError> {
        self.begin().await
    }
}

#[async_trait]
impl Lease for FakeLease {
    fn loss(&self) -> Option<&CancellationToken> {
        Some(&self.0.lost)
    }

    fn is_held(&self) -> bool {
        lock(&self.0.guard).is_some()
    }

    async fn release(self: Box<Self>) -> Result<(), LockError> {
        match lock(&self.0.guard).take() {
            Some(_released) => Ok(()),
            None => Err(LockError::Lost),
        }
    }

    fn release_later(self: Box<Self>) {
        lock(&self.0.guard).take();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for FakeLock {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for FakeLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeLock").field("held", &lock(&self.script).held.len()).finish()
    }
}
