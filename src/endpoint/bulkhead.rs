//! The bulkhead: so many requests at once, so many more in a queue, and no more.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

/// A provider that takes long must not gather every connection and all memory this process has.
#[derive(Debug)]
pub(super) struct Bulkhead {
    /// Those under way and those that wait.
    admitted: Semaphore,
    running: Semaphore,
}

/// A place among the requests under way, given back when dropped.
#[derive(Debug)]
pub(super) struct Slot<'a> {
    _running: SemaphorePermit<'a>,
    _admitted: SemaphorePermit<'a>,
}

/// Why there was no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoSlot {
    QueueFull,
    WaitedTooLong,
}

impl Bulkhead {
    pub(super) fn new(concurrent: usize, queue: usize) -> Self {
        Self { admitted: Semaphore::new(concurrent + queue), running: Semaphore::new(concurrent) }
    }

    /// Waits for a place, first come, first served, at most `limit`.
    pub(super) async fn enter(&self, limit: Duration) -> Result<Slot<'_>, NoSlot> {
        let admitted = self.admitted.try_acquire().map_err(|_| NoSlot::QueueFull)?;
        match tokio::time::timeout(limit, self.running.acquire()).await {
            Ok(Ok(running)) => Ok(Slot { _running: running, _admitted: admitted }),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(NoSlot::WaitedTooLong),
        }
    }
}
