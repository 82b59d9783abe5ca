//! Connections that go back to their pool only when all their statements have been answered.
//!
//! A caller may go away amid a statement. sqlx would put the connection back and ask it whether it is
//! well, without a limit: one that broke without a word would take its place in the pool for ever.

use std::ops::{Deref, DerefMut};

use sqlx::{
    Executor, PgConnection, PgPool, Postgres, pool::PoolConnection, postgres::PgQueryResult,
};

use super::query;

/// Behind another level, a row that somebody else has changed would be an error. And a process that
/// freezes or is cut off between two statements would lock its row, and with a migration behind it
/// the whole table, for as long as the server believes in the connection.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; \
                     SET LOCAL idle_in_transaction_session_timeout = '5s'";

/// A connection of a pool. It is closed when it is dropped, unless it was released.
pub(super) struct Connection(Option<PoolConnection<Postgres>>);

impl Connection {
    pub(super) async fn of(pool: &PgPool) -> sqlx::Result<Self> {
        pool.acquire().await.map(|connection| Self(Some(connection)))
    }

    /// Gives it back: nothing is unanswered.
    pub(super) fn release(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}

impl Deref for Connection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.0.as_ref().expect("only `release` and `drop` take it")
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.0.as_mut().expect("only `release` and `drop` take it")
    }
}

/// A transaction. If it is dropped its connection is closed, and the server rolls it back.
pub(crate) struct Transaction(Connection);

impl Transaction {
    pub(crate) async fn begin(pool: &PgPool) -> sqlx::Result<Self> {
        let mut connection = Connection::of(pool).await?;
        connection.execute(BEGIN).await?;
        Ok(Self(connection))
    }

    /// Begins to make tables: of two processes that start at once, one waits. `IF NOT EXISTS` alone
    /// does not see what the other one has not committed.
    pub(crate) async fn begin_to_migrate(pool: &PgPool) -> sqlx::Result<Self> {
        let mut tx = Self::begin(pool).await?;
        tx.execute("SELECT pg_advisory_xact_lock(7340915128)").await?;
        Ok(tx)
    }

    /// Tells `message` to whoever listens to `channel`, when the transaction is committed.
    pub(crate) async fn notify(
        &mut self,
        channel: &str,
        message: String,
    ) -> sqlx::Result<PgQueryResult> {
        let notify = query("SELECT pg_notify($1, $2)").bind(channel).bind(message);
        notify.execute(&mut **self).await
    }

    pub(crate) async fn commit(self) -> sqlx::Result<()> {
        self.end("COMMIT").await
    }

    pub(crate) async fn rollback(self) -> sqlx::Result<()> {
        self.end("ROLLBACK").await
    }

    async fn end(mut self, how: &str) -> sqlx::Result<()> {
        self.execute(how).await?;
        self.0.release();
        Ok(())
    }
}

impl Deref for Transaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.0
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}
