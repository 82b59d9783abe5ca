//! How long a key was waited for, and what came of it.

use std::future::Future;

use super::{LockError, LockGuard};
use crate::{clock::Clock, metrics};

/// Measures one call for a key.
pub(super) async fn measured(
    backend: &'static str,
    clock: &Clock,
    asked: impl Future<Output = Result<Option<LockGuard>, LockError>>,
) -> Result<Option<LockGuard>, LockError> {
    let began = clock.monotonic();
    let given = asked.await;
    let outcome = match &given {
        Ok(Some(_)) => "acquired",
        Ok(None) => "taken",
        Err(LockError::Timeout { .. }) => "timeout",
        Err(LockError::Unavailable(_)) => "unavailable",
        Err(LockError::InvalidKey { .. }) => "invalid_key",
        Err(_) => "failed",
    };
    metrics::lock_asked_for(backend, outcome, clock.monotonic().saturating_sub(began));
    given
}

/// For a call that waits until it has the key.
pub(super) fn always(given: Option<LockGuard>) -> Result<LockGuard, LockError> {
    given.ok_or(LockError::Internal)
}
