//! Distributed locks: at most one holder per key, among all processes that share a server.
//!
//! They are useful without OAuth. Any number of processes ask for a key; one gets it, the others
//! wait and are woken when it is free. A holder keeps its key by renewing a lease. A holder that
//! dies loses it when the lease ends.
//!
//! | service | feature | who shares it | how waiters are woken |
//! |---|---|---|---|
//! | [`LocalLock`] | | one process | at once |
//! | `RedisLock` | `redis` | all processes | at once |
//! | `PostgresLock` | `postgres` | all processes | at once; by polling behind a pooler |
//! | `SqliteLock` | `sqlite` | those of one machine | by polling, every 50 ms at first, then up to every 500 ms |
//!
//! A lease proves nothing. A holder that sleeps past its lease still believes that it holds the
//! key, although another process has it. A server that restarts empty, or fails over, gives the key
//! away again. So what a lock protects must hold without it: the token refresh of this crate
//! excludes by a mark in the token record, which is compared in the store, and needs no lock.
//! Redlock, which takes the same lease at several Redis servers, is not built for that reason: it
//! makes the loss rarer, not impossible.
//!
//! ```
//! use std::time::Duration;
//! use tower_token_refresh::lock::{LocalLock, LockService};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_token_refresh::lock::LockError> {
//! let locks = LocalLock::new();
//! let guard = locks.acquire_within("nightly-report", Duration::from_secs(5)).await?;
//! assert!(guard.is_held());
//! guard.release().await?;
//! # Ok(())
//! # }
//! ```

mod error;
mod guard;
#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))]
mod held;
mod key;
#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))]
mod leases;
mod local;
mod measured;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))]
mod probe;
#[cfg(feature = "redis")]
mod redis;
mod share;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::{fmt, time::Duration};

use async_trait::async_trait;

#[cfg(feature = "testing")]
pub(crate) use self::guard::Lease;
pub(crate) use self::key::LockKey;
#[cfg(feature = "postgres")]
pub use self::postgres::PostgresLock;
#[cfg(feature = "redis")]
pub use self::redis::RedisLock;
#[cfg(feature = "sqlite")]
pub use self::sqlite::SqliteLock;
pub use self::{error::LockError, guard::LockGuard, local::LocalLock, share::share_of_users};

/// How long [`LockService::acquire`] waits.
pub const DEFAULT_LIMIT: Duration = Duration::from_secs(10);

/// Gives keys to one holder at a time. It is object-safe.
///
/// A key is any text of 1 to 512 bytes. It leaves the process as a hash only.
///
/// A task that asks for a key it holds waits until its limit: nothing here knows which task a guard
/// belongs to, as it may be moved to another one.
///
/// # Errors
/// Each call fails with [`LockError::InvalidKey`] for a key that is empty or too long, with
/// [`LockError::Unavailable`] if the server cannot be reached or refuses, and with
/// [`LockError::Internal`] if the runtime shuts down. The next call tries again.
#[async_trait]
pub trait LockService: fmt::Debug + Send + Sync + 'static {
    /// Waits for `key`, 10 s at the most.
    ///
    /// # Cancel safety
    /// As [`acquire_within`](Self::acquire_within).
    async fn acquire(&self, key: &str) -> Result<LockGuard, LockError> {
        self.acquire_within(key, DEFAULT_LIMIT).await
    }

    /// Waits for `key`, for `limit` at the most; then it fails with [`LockError::Timeout`]. Within
    /// a process, whoever has waited longest is next.
    ///
    /// # Cancel safety
    /// A caller that goes away leaves the queue. If it was just about to get the key, it is
    /// released again.
    async fn acquire_within(&self, key: &str, limit: Duration) -> Result<LockGuard, LockError>;

    /// Takes `key` if it is free, and waits for no other holder. It waits for the server for as long
    /// as its client does.
    ///
    /// # Cancel safety
    /// A key that the server was just giving is released again.
    async fn try_acquire(&self, key: &str) -> Result<Option<LockGuard>, LockError>;

    /// Returns when `key` is free: at once, or when its holder lets go or its lease ends. Where
    /// others wait to hold the key, that may be after them. Another caller may have taken it by the
    /// time this returns. It waits without a limit; dropping the future is safe.
    async fn released(&self, key: &str) -> Result<(), LockError>;

    /// Whether the lock server gives keys, for which it waits as long as its client does. The
    /// services of this crate take one that nobody uses, and let it go; no metric counts it.
    async fn health(&self) -> Result<(), LockError>;
}
