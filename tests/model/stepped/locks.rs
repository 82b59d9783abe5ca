//! A lock service whose every call stops before and after it takes effect, and whose leases prove
//! nothing: one that is lost goes to somebody else, and its holder does not hear of it.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use tokio::sync::oneshot;
use tower_token_refresh::lock::{LocalLock, LockError, LockGuard, LockService};

use super::{Place, Stage, Way};

/// What the lock server knows.
#[derive(Default)]
pub(super) struct Locks {
    held: BTreeMap<String, Hold>,
    waiting: Vec<oneshot::Sender<()>>,
    next: usize,
}

struct Hold {
    id: usize,
    life: usize,
    /// Its holder could not say that it lets go.
    is_given_up: bool,
}

impl Locks {
    /// Takes the key, or gives a sign when it may be free.
    fn take(&mut self, key: &str, life: usize) -> Result<usize, oneshot::Receiver<()>> {
        if self.held.contains_key(key) {
            let (free, freed) = oneshot::channel();
            self.waiting.push(free);
            return Err(freed);
        }
        let id = self.next;
        self.next += 1;
        self.held.insert(key.to_owned(), Hold { id, life, is_given_up: false });
        Ok(id)
    }

    fn free(&mut self, mut ends: impl FnMut(&str, &Hold) -> bool) {
        self.held.retain(|key, hold| !ends(key, hold));
        for waiting in self.waiting.drain(..) {
            let _ = waiting.send(());
        }
    }
}

impl Stage {
    /// A lease ends, and nobody tells its holder.
    pub fn lose_lease(&self, pick: usize) {
        let locks = &mut self.state().locks;
        let id = locks.held.values().nth(pick % locks.held.len().max(1)).map(|hold| hold.id);
        locks.free(|_, hold| Some(hold.id) == id);
    }

    /// The leases end that nobody renews.
    pub(super) fn end_leases_of_nobody(&self) {
        let state = &mut *self.state();
        let lives = &state.lives;
        state.locks.free(|_, hold| hold.is_given_up || !lives.contains(&hold.life));
    }
}

/// One process's way to the lock service.
#[derive(Debug, Clone)]
pub struct SteppedLock {
    way: Way,
    /// Makes the guards, each of a key of its own.
    guards: LocalLock,
}

impl Way {
    pub fn lock(&self) -> SteppedLock {
        SteppedLock { way: self.clone(), guards: LocalLock::new() }
    }
}

impl SteppedLock {
    async fn call(&self, at: &'static str) -> Result<(), LockError> {
        self.way.park_on_the_way_to(Place::Locks, at).await;
        if self.way.stage.state().refusals.locks_down || self.way.fails_at(Place::Locks) {
            return Err(LockError::unavailable("the lock refuses on purpose"));
        }
        Ok(())
    }

    fn take(&self, key: &str) -> Result<usize, oneshot::Receiver<()>> {
        self.way.stage.state().locks.take(key, self.way.life)
    }

    /// The guard of a key that the server has given. The server hears a while after it is dropped.
    async fn guard(&self, key: &str, id: usize) -> Result<LockGuard, LockError> {
        let name = id.to_string();
        let guard = self.guards.acquire(&name).await?;
        let (lock, key) = (self.clone(), key.to_owned());
        tokio::spawn(async move {
            let dropped = lock.guards.released(&name).await;
            let told = dropped.is_ok() && lock.call("release the lock").await.is_ok();
            let mut state = lock.way.stage.state();
            if told {
                state.locks.free(|held, hold| held == key && hold.id == id);
            } else if let Some(hold) = state.locks.held.get_mut(&key).filter(|hold| hold.id == id) {
                hold.is_given_up = true;
            }
        });
        self.call("locked").await?;
        Ok(guard)
    }
}

#[async_trait]
impl LockService for SteppedLock {
    async fn acquire_within(&self, key: &str, limit: Duration) -> Result<LockGuard, LockError> {
        let acquiring = async {
            loop {
                self.call("lock").await?;
                let freed = match self.take(key) {
                    Ok(id) => return self.guard(key, id).await,
                    Err(freed) => freed,
                };
                let _ = freed.await;
            }
        };
        let acquired = tokio::time::timeout(limit, acquiring).await;
        acquired.unwrap_or(Err(LockError::Timeout { limit }))
    }

    async fn try_acquire(&self, key: &str) -> Result<Option<LockGuard>, LockError> {
        self.call("try to lock").await?;
        match self.take(key) {
            Ok(id) => self.guard(key, id).await.map(Some),
            Err(_held) => Ok(None),
        }
    }

    async fn released(&self, key: &str) -> Result<(), LockError> {
        self.acquire_within(key, Duration::from_secs(3600)).await.map(drop)
    }

    async fn health(&self) -> Result<(), LockError> {
        self.call("ask for the lock's health").await
    }
}
