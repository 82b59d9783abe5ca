//! A lease that is held: renewed until its guard lets go, or until it is lost.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::{runtime::Handle, time::timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    LockError, LockGuard, LockKey,
    guard::Lease,
    leases::{Leases, Owner, millis},
};
use crate::{error::Chain, key_locks::Turn, metrics};

/// The guard of a key that the server has given to `owner`, who asked at `asked_at`.
pub(super) fn guard(
    leases: &Leases,
    name: &str,
    key: LockKey,
    owner: Owner,
    asked_at: Duration,
    turn: Turn<LockKey>,
) -> LockGuard {
    let held_until = AtomicU64::new(millis(asked_at + leases.lease));
    let hold =
        Hold { leases: leases.clone(), key, owner, held_until, lost: CancellationToken::new() };
    let hold = Arc::new(hold);
    let renewing = hold.clone();
    let renewal = AbortOnDropHandle::new(tokio::spawn(async move { renewing.renew().await }));
    let held = Held { hold, turn, renewal, runtime: Handle::current() };
    LockGuard::new(leases.server.backend(), name, leases.clock.now(), Box::new(held))
}

/// A lease at the server.
struct Hold {
    leases: Leases,
    key: LockKey,
    owner: Owner,
    /// By the monotonic clock, in milliseconds.
    held_until: AtomicU64,
    lost: CancellationToken,
}

impl Hold {
    fn is_held(&self) -> bool {
        !self.lost.is_cancelled() && !self.left().is_zero()
    }

    /// How much of the lease is left.
    fn left(&self) -> Duration {
        let now = millis(self.leases.clock.monotonic());
        Duration::from_millis(self.held_until.load(Ordering::Relaxed).saturating_sub(now))
    }

    async fn renew(&self) {
        let lease = self.leases.lease;
        let mut pause = lease / 3;
        loop {
            tokio::time::sleep(pause).await;
            let asked_at = self.leases.clock.monotonic();
            let renewing = self.leases.server.renew(self.key, self.owner, lease);
            match timeout((lease / 3).min(self.left()), renewing).await {
                Ok(Ok(true)) => {
                    self.held_until.store(millis(asked_at + lease), Ordering::Relaxed);
                    pause = lease / 3;
                }
                Ok(Ok(false)) => break,
                // The server may be back before the lease ends.
                Ok(Err(_)) | Err(_) if self.is_held() => pause = (lease / 20).min(self.left()),
                Ok(Err(_)) | Err(_) => break,
            }
        }
        metrics::lease_lost(self.leases.server.backend());
        tracing::warn!("a lock was lost before it was released");
        self.lost.cancel();
    }
}

/// What a guard keeps.
struct Held {
    hold: Arc<Hold>,
    renewal: AbortOnDropHandle<()>,
    turn: Turn<LockKey>,
    runtime: Handle,
}

impl Held {
    /// Ends the renewal, tells the server, and then gives the turn to the next one of this process.
    async fn let_go(self) -> Result<(), LockError> {
        let Self { hold, renewal, turn, .. } = self;
        drop(renewal);
        let released = hold.leases.server.release(hold.key, hold.owner).await;
        drop(turn);
        if released? && !hold.lost.is_cancelled() { Ok(()) } else { Err(LockError::Lost) }
    }
}

#[async_trait]
impl Lease for Held {
    fn lasts(&self) -> Option<Duration> {
        Some(self.hold.leases.lease)
    }

    fn loss(&self) -> Option<&CancellationToken> {
        Some(&self.hold.lost)
    }

    fn is_held(&self) -> bool {
        self.hold.is_held()
    }

    async fn release(self: Box<Self>) -> Result<(), LockError> {
        // In a task: a caller that goes away now lets go all the same.
        let runtime = self.runtime.clone();
        let releasing = runtime.spawn(self.let_go());
        releasing.await.unwrap_or(Err(LockError::Internal))
    }

    fn release_later(self: Box<Self>) {
        let runtime = self.runtime.clone();
        runtime.spawn(async move {
            if let Err(error @ LockError::Unavailable(_)) = self.let_go().await {
                tracing::warn!(
                    error = %Chain(&error),
                    "a lock could not be released; it is free when its lease ends"
                );
            }
        });
    }
}

#[cfg(test)]
mod tests;
