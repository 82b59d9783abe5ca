//! Where flights of different processes queue, if the application has given a lock.
//!
//! The mark in the token record excludes; the lock only spares the others their looks at it. So
//! every trouble with the lock costs time and nothing else: a flight that cannot have it goes on
//! without it, one that has waited for longer than a mark holds does so, too, and a lease that is
//! lost is not looked at. Whoever gets the lock reads the record first: the one before has mostly
//! brought the tokens.

use std::{fmt, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;

use super::flight_log::Entry;
use crate::{
    clock::{Clock, Throttle},
    error::Chain,
    hex,
    lock::{LockError, LockGuard, LockService},
    operate::Stage,
    tokens::RecordKey,
};

/// For which users: those whose subject it accepts.
pub(super) type ForUser = Arc<dyn Fn(&str) -> bool + Send + Sync>;

pub(super) struct RefreshLock {
    lock: Option<Arc<dyn LockService>>,
    for_user: Option<ForUser>,
    /// How long a mark holds.
    limit: Duration,
    warnings: Throttle,
    clock: Clock,
}

pub(super) enum Acquired {
    /// The flight goes on, with the lock or without.
    Begin { _held: Option<LockGuard> },
    /// A flight that nobody waits for is not needed: another process has one.
    Elsewhere,
}

impl RefreshLock {
    pub(super) fn new(
        lock: Option<Arc<dyn LockService>>,
        for_user: Option<ForUser>,
        limit: Duration,
        clock: Clock,
    ) -> Self {
        Self { lock, for_user, limit, warnings: Throttle::due(Duration::from_secs(10)), clock }
    }

    pub(super) fn service(&self) -> Option<&dyn LockService> {
        self.lock.as_deref()
    }

    /// Waits until the flight of a login may begin. `early`: nobody waits for it.
    pub(super) async fn acquire(
        &self,
        key: RecordKey,
        user: Option<&str>,
        early: bool,
        entry: &Entry,
    ) -> Acquired {
        let without = Acquired::Begin { _held: None };
        let Some(lock) = &self.lock else { return without };
        if self.for_user.as_ref().is_some_and(|accepts| !accepts(user.unwrap_or_default())) {
            return without;
        }
        entry.enter(Stage::Lock);
        let name = format!("refresh {}", hex::digits(key.to_bytes()));
        // Whatever the service does: one that hangs or panics costs time and nothing else.
        let limit = self.limit;
        let asking = AssertUnwindSafe(async {
            match early {
                true => lock.try_acquire(&name).await,
                false => lock.acquire_within(&name, limit).await.map(Some),
            }
        });
        let answer = match tokio::time::timeout(limit, asking.catch_unwind()).await {
            Ok(answer) => answer.unwrap_or(Err(LockError::Internal)),
            Err(_elapsed) => Err(LockError::Timeout { limit }),
        };
        match answer {
            Ok(None) => Acquired::Elsewhere,
            Ok(held) => Acquired::Begin { _held: held },
            Err(LockError::Timeout { .. }) => without,
            Err(error) => {
                if self.warnings.is_due(self.clock.monotonic()) {
                    tracing::warn!(
                        error = %Chain(&error),
                        "refreshes go on without the lock (logged every ten seconds at most)"
                    );
                }
                without
            }
        }
    }
}

impl fmt::Debug for RefreshLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshLock").field("lock", &self.lock).finish_non_exhaustive()
    }
}
