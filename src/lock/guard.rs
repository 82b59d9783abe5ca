//! What a holder has.

use std::{fmt, time::Duration, time::SystemTime};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::LockError;
use crate::metrics;

/// A key that is held. Dropping it releases the key in the background, also while a panic unwinds.
pub struct LockGuard {
    /// Whose it is: a label of metrics.
    backend: &'static str,
    key: Box<str>,
    acquired_at: SystemTime,
    /// None once it is released.
    held: Option<Box<dyn Lease>>,
}

/// The hold on a key, for whoever keeps it.
#[async_trait]
pub(crate) trait Lease: Send + Sync + 'static {
    /// For how long a server keeps it from the last renewal on, if it does not do so for ever.
    fn lasts(&self) -> Option<Duration> {
        None
    }

    /// Cancelled when it is lost. None if it cannot be.
    fn loss(&self) -> Option<&CancellationToken> {
        None
    }

    /// Whether it is held, as far as this process knows.
    fn is_held(&self) -> bool;

    /// Lets go. Fails if it was lost before.
    async fn release(self: Box<Self>) -> Result<(), LockError>;

    /// Lets go in the background.
    fn release_later(self: Box<Self>);
}

impl LockGuard {
    pub(crate) fn new(
        backend: &'static str,
        key: &str,
        acquired_at: SystemTime,
        held: Box<dyn Lease>,
    ) -> Self {
        metrics::lock_held(backend);
        Self { backend, key: key.into(), acquired_at, held: Some(held) }
    }

    /// The key, as it was asked for.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// When it was acquired, by this process's wall clock.
    #[must_use]
    pub fn acquired_at(&self) -> SystemTime {
        self.acquired_at
    }

    /// For how long the server keeps it from the last renewal on; renewed at a third of that. None
    /// if it is held until it is released.
    #[must_use]
    pub fn lease(&self) -> Option<Duration> {
        self.held.as_ref().and_then(|held| held.lasts())
    }

    /// Whether it is still held, as far as this process knows: the lease has not ended by the
    /// monotonic clock, and the server has not said otherwise.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.is_held())
    }

    /// Returns when the key is lost: when its lease ends without a renewal, or before that, when
    /// the server answers a renewal that it has given the key away. Renewals are a third of the
    /// lease apart. If the key is never lost, or has no lease, this never returns. Dropping the
    /// future is safe.
    pub async fn lost(&self) {
        match self.held.as_ref().and_then(|held| held.loss()) {
            Some(loss) => loss.cancelled().await,
            None => std::future::pending().await,
        }
    }

    /// Lets go, and waits until the server knows.
    ///
    /// # Cancel safety
    /// Dropping the future lets go in the background.
    ///
    /// # Errors
    /// [`LockError::Lost`] if it was no longer held, [`LockError::Unavailable`] if the server could
    /// not be told: then the key is free when its lease ends.
    pub async fn release(mut self) -> Result<(), LockError> {
        match self.held.take() {
            Some(held) => held.release().await,
            None => Ok(()),
        }
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        metrics::lock_let_go(self.backend);
        if let Some(held) = self.held.take() {
            held.release_later();
        }
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the key: it may name a user.
        f.debug_struct("LockGuard").field("is_held", &self.is_held()).finish_non_exhaustive()
    }
}
