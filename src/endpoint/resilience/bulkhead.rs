//! [`Bulkhead`]: limits the requests that run at once and the requests that wait.
//!
//! Without it, a slow provider would collect every connection and all memory of this process.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

#[derive(Debug)]
pub(crate) struct Bulkhead {
    /// Requests that run or wait.
    admitted: Semaphore,
    running: Semaphore,
}

/// Room for one running request. Dropping it makes room for the next.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    _running: SemaphorePermit<'a>,
    _admitted: SemaphorePermit<'a>,
}

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoPermit {
    QueueFull,
    Timeout,
}

impl Bulkhead {
    pub(crate) fn new(concurrent: usize, queue: usize) -> Self {
        Self { admitted: Semaphore::new(concurrent + queue), running: Semaphore::new(concurrent) }
    }

    /// Waits for room, first come, first served, for at most `limit`.
    pub(crate) async fn acquire(&self, limit: Duration) -> Result<Permit<'_>, NoPermit> {
        let admitted = self.admitted.try_acquire().map_err(|_| NoPermit::QueueFull)?;
        match tokio::time::timeout(limit, self.running.acquire()).await {
            Ok(Ok(running)) => Ok(Permit { _running: running, _admitted: admitted }),
            // The inner error cannot happen: nobody closes the semaphore.
            Ok(Err(_)) | Err(_) => Err(NoPermit::Timeout),
        }
    }
}
