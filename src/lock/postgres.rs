//! Locks in PostgreSQL. Each call is one transaction of statements that are not prepared, so that
//! it works behind PgBouncer in transaction mode.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use sqlx::{Executor, PgPool, Postgres, Transaction, postgres::PgListener};

use super::{
    LockError, LockGuard, LockKey, LockService,
    leases::{Leases, Owner, Server, Taken, Woken, duration},
    sql::{REAP_EVERY, Statements, signed_millis},
};
use crate::databases::{
    Reaper,
    postgres::{NOW, begin, begin_to_migrate, hear, notify, query},
    without_rows,
};

const CHANNEL: &str = "lock_leases";

/// A [`LockService`] in PostgreSQL, for any number of processes. Cheap to clone.
///
/// Once somebody waits, it keeps one connection of the pool for itself, to be woken. Behind
/// PgBouncer in transaction mode that connection hears nothing, and waiters look once a second.
#[derive(Clone)]
pub struct PostgresLock {
    leases: Leases,
    at: Arc<AtPostgres>,
}

struct AtPostgres {
    pool: PgPool,
    statements: Statements,
    reaper: Reaper,
}

impl PostgresLock {
    /// Makes a service whose leases last 10 s unless they are renewed, in the table `lock_leases`
    /// of the schema that `pool` looks in first. [`migrate`](Self::migrate) makes it.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        let statements = Statements::new("bytea", NOW);
        let reaper = Reaper::new("leases", REAP_EVERY);
        let at = Arc::new(AtPostgres { pool, statements, reaper });
        Self { leases: Leases::new(at.clone()), at }
    }

    /// Sets how long a lease lasts unless it is renewed: how long a key stays taken after its
    /// holder has died. From 300 ms to 24 h.
    #[must_use]
    pub fn lease(self, lease: Duration) -> Self {
        Self { leases: self.leases.with_lease(lease), ..self }
    }

    /// Hashes keys with this secret: someone who can read the table cannot guess which keys are
    /// held.
    #[must_use]
    pub fn hash_keys_with(self, secret: &[u8]) -> Self {
        Self { leases: self.leases.with_secret(secret), ..self }
    }

    /// Makes the table if it is missing.
    ///
    /// # Errors
    /// The database cannot be reached or refuses.
    pub async fn migrate(&self) -> Result<(), LockError> {
        let mut tx = begin_to_migrate(&self.at.pool).await.map_err(failed)?;
        tx.execute(self.at.statements.create_table.as_str()).await.map_err(failed)?;
        tx.commit().await.map_err(failed)
    }
}

impl AtPostgres {
    async fn begin(&self) -> Result<Transaction<'static, Postgres>, LockError> {
        begin(&self.pool).await.map_err(failed)
    }

    /// How long a key is held, in a transaction that goes on.
    async fn left_in(
        &self,
        tx: &mut Transaction<'static, Postgres>,
        key: LockKey,
    ) -> Result<Option<Duration>, LockError> {
        let left = sqlx::query_scalar(&self.statements.left).persistent(false);
        let left = left.bind(key.bytes().to_vec()).fetch_optional(&mut **tx).await;
        Ok(left.map_err(failed)?.and_then(duration))
    }
}

#[async_trait]
impl Server for Arc<AtPostgres> {
    async fn take(&self, key: LockKey, owner: Owner, lease: Duration) -> Result<Taken, LockError> {
        let (pool, reap) = (self.pool.clone(), self.statements.reap.clone());
        self.reaper.run_if_due(|| async move {
            sqlx::raw_sql(&reap).execute(&pool).await.map(|_| ()).map_err(failed)
        });
        let mut tx = self.begin().await?;
        let take = query(&self.statements.take);
        let take = take.bind(key.bytes().to_vec()).bind(owner.to_vec()).bind(signed_millis(lease));
        let taken = take.execute(&mut *tx).await.map_err(failed)?.rows_affected() > 0;
        let left = if taken { None } else { self.left_in(&mut tx, key).await? };
        tx.commit().await.map_err(failed)?;
        Ok(if taken { Taken::Yes } else { Taken::No { left: left.unwrap_or_default() } })
    }

    async fn renew(&self, key: LockKey, owner: Owner, lease: Duration) -> Result<bool, LockError> {
        let mut tx = self.begin().await?;
        let renew = query(&self.statements.renew);
        let renew =
            renew.bind(key.bytes().to_vec()).bind(owner.to_vec()).bind(signed_millis(lease));
        let renewed = renew.execute(&mut *tx).await.map_err(failed)?.rows_affected() > 0;
        tx.commit().await.map_err(failed)?;
        Ok(renewed)
    }

    async fn release(&self, key: LockKey, owner: Owner) -> Result<bool, LockError> {
        let mut tx = self.begin().await?;
        let release = query(&self.statements.release);
        let release = release.bind(key.bytes().to_vec()).bind(owner.to_vec());
        let released = release.execute(&mut *tx).await.map_err(failed)?.rows_affected() > 0;
        notify(&mut tx, CHANNEL, key.digits()).await.map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        Ok(released)
    }

    async fn left(&self, key: LockKey) -> Result<Option<Duration>, LockError> {
        let mut tx = self.begin().await?;
        let left = self.left_in(&mut tx, key).await?;
        tx.commit().await.map_err(failed)?;
        Ok(left)
    }

    async fn listen(&self, woken: &Woken) -> Result<(), LockError> {
        let mut heard = PgListener::connect_with(&self.pool).await.map_err(failed)?;
        heard.listen(CHANNEL).await.map_err(failed)?;
        woken.listening();
        let pass_on = |digits: &str| {
            if let Some(key) = LockKey::parse(digits) {
                woken.freed(key);
            }
        };
        Err(LockError::unavailable(hear(heard, pass_on).await))
    }

    async fn health(&self) -> Result<(), LockError> {
        let mut tx = self.begin().await?;
        tx.execute("SELECT 1").await.map_err(failed)?;
        tx.commit().await.map_err(failed)
    }
}

#[async_trait]
impl LockService for PostgresLock {
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
    LockError::unavailable(without_rows("PostgreSQL", error))
}

impl fmt::Debug for PostgresLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresLock").field(&self.leases).finish()
    }
}
