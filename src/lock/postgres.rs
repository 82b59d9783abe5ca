//! Locks in PostgreSQL. Each call is one statement and one round trip. It is not prepared, so that
//! it works behind PgBouncer in transaction mode.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use sqlx::{Executor, FromRow, PgPool, postgres::PgRow};

use super::{
    LockError, LockGuard, LockKey, LockService,
    leases::{Leases, Owner, Server, Taken, Waiters, duration},
    sql::{REAP_EVERY, Statements, signed_millis},
};
use crate::databases::{
    Reaper,
    postgres::{Listening, NOW, Transaction, ask_once, bytes, receive_until_lost, table_exists},
    without_rows,
};

const CHANNEL: &str = "lock_leases";

/// A [`LockService`] in PostgreSQL, for any number of processes. Cheap to clone.
///
/// Once somebody waits, it opens one connection beside the pool, to be notified. Behind PgBouncer in
/// transaction mode that is not possible, and waiters ask up to twice a second.
#[derive(Clone)]
pub struct PostgresLock {
    leases: Leases,
    at: Arc<AtPostgres>,
}

struct AtPostgres {
    pool: PgPool,
    statements: Statements,
    reaper: Reaper,
    listening: Listening,
}

impl PostgresLock {
    /// Makes a service whose leases last 10 s unless they are renewed, in the table `lock_leases`
    /// of the schema that `pool` looks in first. [`migrate`](Self::migrate) makes it.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        let statements = Statements::new("bytea", NOW);
        let reaper = Reaper::new("leases", REAP_EVERY);
        let at = Arc::new(AtPostgres { pool, statements, reaper, listening: Listening::default() });
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
    /// The database cannot be reached or refuses.
    pub async fn migrate(&self) -> Result<(), LockError> {
        // Whoever may not create tables may use one that is there.
        let look = table_exists("", "lock_leases");
        if let Some((true,)) = self.at.ask(&look).await? {
            return Ok(());
        }
        let mut tx = Transaction::begin_to_migrate(&self.at.pool).await.map_err(failed)?;
        tx.execute(self.at.statements.create_table.as_str()).await.map_err(failed)?;
        tx.commit().await.map_err(failed)
    }
}

impl AtPostgres {
    /// One of the [`Statements`] with its values, and `RETURNING` whether it has changed a row.
    fn change(statement: &str, key: LockKey, owner: Owner, lease: Duration) -> String {
        let changed = statement
            .replace("$1", &bytes(key.bytes()))
            .replace("$2", &bytes(owner))
            .replace("$3", &signed_millis(lease).to_string());
        format!("WITH changed AS ({changed} RETURNING 1) SELECT EXISTS (SELECT FROM changed)")
    }

    /// Asks for how long a key is held.
    fn question(&self, key: LockKey) -> String {
        self.statements.left.replace("$1", &bytes(key.bytes()))
    }

    async fn ask<T>(&self, statement: &str) -> Result<Option<T>, LockError>
    where
        T: for<'row> FromRow<'row, PgRow>,
    {
        Ok(ask_once(&self.pool, statement).await.map_err(failed)?.pop())
    }
}

#[async_trait]
impl Server for Arc<AtPostgres> {
    fn backend(&self) -> &'static str {
        "postgres"
    }

    async fn take(&self, key: LockKey, owner: Owner, lease: Duration) -> Result<Taken, LockError> {
        let (pool, reap) = (self.pool.clone(), self.statements.reap.clone());
        self.reaper.run_if_due(|| async move {
            ask_once::<()>(&pool, &reap).await.map(|_| ()).map_err(failed)
        });
        let take = AtPostgres::change(&self.statements.take, key, owner, lease);
        let answer = self.ask(&format!("{take}, ({})", self.question(key))).await?;
        let (taken, left): (bool, Option<i64>) = answer.unwrap_or_default();
        let left = left.and_then(duration).unwrap_or_default();
        Ok(if taken { Taken::Yes } else { Taken::No { left } })
    }

    async fn renew(&self, key: LockKey, owner: Owner, lease: Duration) -> Result<bool, LockError> {
        let renew = AtPostgres::change(&self.statements.renew, key, owner, lease);
        Ok(self.ask(&renew).await?.is_some_and(|(renewed,)| renewed))
    }

    async fn release(&self, key: LockKey, owner: Owner) -> Result<bool, LockError> {
        let release = AtPostgres::change(&self.statements.release, key, owner, Duration::ZERO);
        let tell = format!("pg_notify('{CHANNEL}', '{}')::text", key.digits());
        let released: Option<(bool, Option<String>)> =
            self.ask(&format!("{release}, {tell}")).await?;
        Ok(released.is_some_and(|(released, _)| released))
    }

    async fn left(&self, key: LockKey) -> Result<Option<Duration>, LockError> {
        let left = self.ask(&self.question(key)).await?;
        Ok(left.and_then(|(left,)| duration(left)))
    }

    async fn listen(&self, waiters: &Waiters) -> Result<(), LockError> {
        let heard = self.listening.begin(&self.pool, &self.pool, CHANNEL).await;
        let heard = heard.map_err(LockError::unavailable)?;
        waiters.listening();
        Err(LockError::unavailable(receive_until_lost(heard, |digits| waiters.freed(digits)).await))
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
