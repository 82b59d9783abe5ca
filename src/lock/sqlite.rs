//! Locks in SQLite, for the processes of one machine. It wakes nobody: they look.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use sqlx::{Executor, SqlitePool};

use super::{
    LockError, LockGuard, LockKey, LockService,
    leases::{Leases, Owner, Server, Taken, Waiters, duration},
    sql::{REAP_EVERY, Statements, signed_millis},
};
use crate::databases::{Reaper, SQLITE_NOW, without_rows};

/// A [`LockService`] in SQLite (3.42 or later), for the processes of one machine. Cheap to clone.
#[derive(Clone)]
pub struct SqliteLock {
    leases: Leases,
    at: Arc<AtSqlite>,
}

struct AtSqlite {
    pool: SqlitePool,
    statements: Statements,
    reaper: Reaper,
}

impl SqliteLock {
    /// Makes a service whose leases last 10 s unless they are renewed, in the table `lock_leases`.
    /// [`migrate`](Self::migrate) makes it.
    #[must_use]
    pub fn new(pool: SqlitePool) -> Self {
        let statements = Statements::new("blob", SQLITE_NOW);
        let reaper = Reaper::new("leases", REAP_EVERY);
        let at = Arc::new(AtSqlite { pool, statements, reaper });
        Self { leases: Leases::new(at.clone()), at }
    }

    /// Sets how long a lease lasts unless it is renewed: how long a key stays taken after its holder
    /// has died. A shorter one than 300 ms counts as 300 ms, a longer one than 24 h as 24 h.
    #[must_use]
    pub fn lease(self, lease: Duration) -> Self {
        Self { leases: self.leases.with_lease(lease), ..self }
    }

    /// Hashes keys by HMAC-SHA-256 with this secret instead of by SHA-256: someone who can read
    /// the table cannot try out guesses. All processes need the same secret, or they do not exclude
    /// each other.
    #[must_use]
    pub fn hash_keys_with(self, secret: &[u8]) -> Self {
        Self { leases: self.leases.with_secret(secret), ..self }
    }

    /// Makes the table if it is missing.
    ///
    /// # Errors
    /// The database cannot be opened or refuses.
    pub async fn migrate(&self) -> Result<(), LockError> {
        self.at.pool.execute(self.at.statements.create_table.as_str()).await.map_err(failed)?;
        Ok(())
    }
}

#[async_trait]
impl Server for Arc<AtSqlite> {
    fn backend(&self) -> &'static str {
        "sqlite"
    }

    async fn take(&self, key: LockKey, owner: Owner, lease: Duration) -> Result<Taken, LockError> {
        let (pool, reap) = (self.pool.clone(), self.statements.reap.clone());
        self.reaper.run_if_due(|| async move {
            pool.execute(reap.as_str()).await.map(|_| ()).map_err(failed)
        });
        let take = sqlx::query(&self.statements.take);
        let take = take.bind(key.bytes().to_vec()).bind(owner.to_vec()).bind(signed_millis(lease));
        if take.execute(&self.pool).await.map_err(failed)?.rows_affected() > 0 {
            return Ok(Taken::Yes);
        }
        Ok(Taken::No { left: self.left(key).await?.unwrap_or_default() })
    }

    async fn renew(&self, key: LockKey, owner: Owner, lease: Duration) -> Result<bool, LockError> {
        let renew = sqlx::query(&self.statements.renew);
        let renew =
            renew.bind(key.bytes().to_vec()).bind(owner.to_vec()).bind(signed_millis(lease));
        Ok(renew.execute(&self.pool).await.map_err(failed)?.rows_affected() > 0)
    }

    async fn release(&self, key: LockKey, owner: Owner) -> Result<bool, LockError> {
        let release = sqlx::query(&self.statements.release);
        let release = release.bind(key.bytes().to_vec()).bind(owner.to_vec());
        Ok(release.execute(&self.pool).await.map_err(failed)?.rows_affected() > 0)
    }

    async fn left(&self, key: LockKey) -> Result<Option<Duration>, LockError> {
        let left = sqlx::query_scalar(&self.statements.left).bind(key.bytes().to_vec());
        Ok(left.fetch_optional(&self.pool).await.map_err(failed)?.and_then(duration))
    }

    async fn listen(&self, _waiters: &Waiters) -> Result<(), LockError> {
        Ok(())
    }
}

#[async_trait]
impl LockService for SqliteLock {
    async fn acquire_within(&self, key: &str, limit: Duration) -> Result<LockGuard, LockError> {
        self.leases.acquire_within(key, limit).await
    }

    async fn try_acquire(&self, key: &str) -> Result<Option<LockGuard>, LockError> {
        self.leases.try_acquire(key).await
    }

    async fn released(&self, key: &str) -> Result<(), LockError> {
        self.leases.released(key).await
    }

    async fn health(&self) -> Result<(), LockError> {
        self.leases.health().await
    }
}

fn failed(error: sqlx::Error) -> LockError {
    LockError::unavailable(without_rows("SQLite", error))
}

impl fmt::Debug for SqliteLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqliteLock").field(&self.leases).finish()
    }
}
