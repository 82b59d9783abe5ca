//! Locks in PostgreSQL. Each call is one transaction of statements that are not prepared, so that it
//! works behind PgBouncer in transaction mode.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use sqlx::{Executor, PgPool, Postgres, Row as _, Transaction, postgres::PgListener};

use super::{
    LockError, LockGuard, LockKey, LockService,
    leases::{Leases, Owner, Server, Taken, Woken},
    sql::Statements,
};
use crate::{
    clock::{Clock, Throttle},
    error::Chain,
};

const NOW: &str = "(extract(epoch FROM statement_timestamp()) * 1000)::bigint";
const CHANNEL: &str = "lock_leases";
const QUIET: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(2);
const REAP_EVERY: Duration = Duration::from_secs(60);

/// A [`LockService`] in PostgreSQL, for any number of processes. Cheap to clone.
///
/// Once somebody waits, it keeps one connection of the pool for itself, to be woken. Behind PgBouncer in
/// transaction mode that connection hears nothing, and waiters look once a second.
#[derive(Clone)]
pub struct PostgresLock {
    leases: Leases,
    at: Arc<AtPostgres>,
}

struct AtPostgres {
    pool: PgPool,
    statements: Statements,
    clock: Clock,
    reap: Throttle,
}

impl PostgresLock {
    /// Makes a service whose leases last 10 s unless they are renewed, in the table `lock_leases` of
    /// the schema that `pool` looks in first. [`migrate`](Self::migrate) makes it.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        let statements = Statements::new("bytea", NOW, "");
        let (clock, reap) = (Clock::system(), Throttle::due(REAP_EVERY));
        let at = Arc::new(AtPostgres { pool, statements, clock, reap });
        Self { leases: Leases::new(at.clone()), at }
    }

    /// Sets how long a lease lasts unless it is renewed: how long a key stays taken after its holder
    /// has died. From 300 ms to 24 h.
    #[must_use]
    pub fn lease(self, lease: Duration) -> Self {
        Self { leases: self.leases.with_lease(lease), ..self }
    }

    /// Hashes keys with this secret: someone who can read the table cannot guess which keys are held.
    #[must_use]
    pub fn hash_keys_with(self, secret: &[u8]) -> Self {
        Self { leases: self.leases.with_secret(secret), ..self }
    }

    /// Makes the table if it is missing.
    ///
    /// # Errors
    /// The database cannot be reached or refuses.
    pub async fn migrate(&self) -> Result<(), LockError> {
        let mut tx = self.at.begin().await?;
        // Of two processes that start at once, one waits.
        tx.execute("SELECT pg_advisory_xact_lock(7340915128)").await.map_err(failed)?;
        tx.execute(self.at.statements.create_table.as_str()).await.map_err(failed)?;
        tx.commit().await.map_err(failed)
    }
}

impl AtPostgres {
    async fn begin(&self) -> Result<Transaction<'static, Postgres>, LockError> {
        self.pool.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await.map_err(failed)
    }

    /// Deletes leases that have ended, now and then, while nobody waits for it.
    fn reap_if_due(&self) {
        if self.reap.is_due(self.clock.monotonic()) {
            let (pool, reap) = (self.pool.clone(), self.statements.reap.clone());
            tokio::spawn(async move {
                let reaped = sqlx::raw_sql(&reap).execute(&pool).await;
                if let Err(error) = reaped.map_err(failed) {
                    tracing::warn!(error = %Chain(&error), "old leases could not be deleted");
                }
            });
        }
    }

    /// How long a key is held, in a transaction that goes on.
    async fn left_in(
        &self,
        tx: &mut Transaction<'static, Postgres>,
        key: LockKey,
    ) -> Result<Option<Duration>, LockError> {
        let left = sqlx::query(&self.statements.left).persistent(false).bind(key.bytes().to_vec());
        let row = left.fetch_optional(&mut **tx).await.map_err(failed)?;
        let left = row.map(|row| row.try_get::<i64, _>(0)).transpose().map_err(failed)?;
        Ok(left.and_then(|left| u64::try_from(left).ok()).map(Duration::from_millis))
    }
}

#[async_trait]
impl Server for Arc<AtPostgres> {
    async fn take(&self, key: LockKey, owner: Owner, lease: Duration) -> Result<Taken, LockError> {
        self.reap_if_due();
        let mut tx = self.begin().await?;
        let take = sqlx::query(&self.statements.take).persistent(false);
        let take = take.bind(key.bytes().to_vec()).bind(owner.to_vec()).bind(millis(lease));
        let taken = take.execute(&mut *tx).await.map_err(failed)?.rows_affected() > 0;
        let left = if taken { None } else { self.left_in(&mut tx, key).await? };
        tx.commit().await.map_err(failed)?;
        Ok(if taken { Taken::Yes } else { Taken::No { left: left.unwrap_or_default() } })
    }

    async fn renew(&self, key: LockKey, owner: Owner, lease: Duration) -> Result<bool, LockError> {
        let mut tx = self.begin().await?;
        let renew = sqlx::query(&self.statements.renew).persistent(false);
        let renew = renew.bind(key.bytes().to_vec()).bind(owner.to_vec()).bind(millis(lease));
        let renewed = renew.execute(&mut *tx).await.map_err(failed)?.rows_affected() > 0;
        tx.commit().await.map_err(failed)?;
        Ok(renewed)
    }

    async fn release(&self, key: LockKey, owner: Owner) -> Result<bool, LockError> {
        let mut tx = self.begin().await?;
        let release = sqlx::query(&self.statements.release).persistent(false);
        let release = release.bind(key.bytes().to_vec()).bind(owner.to_vec());
        let released = release.execute(&mut *tx).await.map_err(failed)?.rows_affected() > 0;
        let notify = sqlx::query("SELECT pg_notify($1, $2)").persistent(false);
        let notify = notify.bind(CHANNEL).bind(key.digits());
        notify.execute(&mut *tx).await.map_err(failed)?;
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
        loop {
            match tokio::time::timeout(QUIET, heard.try_recv()).await {
                Ok(Ok(Some(message))) => {
                    if let Some(key) = LockKey::parse(message.payload()) {
                        woken.freed(key);
                    }
                }
                Ok(Ok(None)) => return Err(LockError::unavailable("the connection was closed")),
                Ok(Err(error)) => return Err(failed(error)),
                // A connection may break without a word.
                Err(_quiet) => {
                    match tokio::time::timeout(ANSWER, heard.execute("SELECT 1")).await {
                        Ok(answer) => answer.map_err(failed)?,
                        Err(_elapsed) => {
                            return Err(LockError::unavailable("the connection does not answer"));
                        }
                    };
                }
            }
        }
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

fn millis(lease: Duration) -> i64 {
    i64::try_from(lease.as_millis()).unwrap_or(i64::MAX)
}

/// A database's own words may quote a row, but for those of a failed connection.
fn failed(error: sqlx::Error) -> LockError {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default().into_owned();
            LockError::unavailable(format!("PostgreSQL refused a statement (code {code})"))
        }
        error => LockError::unavailable(error),
    }
}

impl fmt::Debug for PostgresLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresLock").field(&self.leases).finish()
    }
}
