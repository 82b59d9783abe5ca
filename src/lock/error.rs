//! Why a lock could not be acquired, or was lost.

use std::{error::Error, sync::Arc, time::Duration};

/// Why a key could not be acquired, or was lost. Cheap to clone. It names no key.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another holder kept the key until the limit.
    #[error("the lock was not free within {limit:?}")]
    Timeout {
        /// How long the caller wanted to wait.
        limit: Duration,
    },
    /// The server cannot be reached or refuses.
    #[error("the lock service failed")]
    Unavailable(#[source] Arc<dyn Error + Send + Sync>),
    /// The key is empty or too long.
    #[error("a lock's key has {length} bytes: it must have 1 to 512")]
    InvalidKey {
        /// Its length in bytes.
        length: usize,
    },
    /// The lease ended, or the server gave the key to somebody else.
    #[error("the lock was lost before it was released")]
    Lost,
    /// A task panicked or was shut down.
    #[error("a task of the lock service panicked or was shut down")]
    Internal,
}

impl LockError {
    /// The error of a server that cannot be reached or refuses. The source must show no key.
    pub fn unavailable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable(source.into().into())
    }
}
