//! How PostgreSQL is talked to: in transactions of statements that are not prepared, so that it
//! works behind PgBouncer in transaction mode.

use std::{error::Error, time::Duration};

use sqlx::{
    Executor, PgPool, Postgres, Transaction,
    postgres::{PgArguments, PgListener, PgQueryResult},
    query::Query,
};

/// PostgreSQL's time, in milliseconds since 1970. Not `clock_timestamp()`: no index serves a
/// function that may change from row to row.
pub(crate) const NOW: &str = "(extract(epoch FROM statement_timestamp()) * 1000)::bigint";
/// Behind another level, a row that somebody else has changed would be an error. And a process that
/// freezes or is cut off between two statements would lock its row, and with a migration behind it
/// the whole table, for as long as the server believes in the connection.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; \
                     SET LOCAL idle_in_transaction_session_timeout = '5s'";
/// How long a connection that hears nothing is trusted.
const QUIET: Duration = Duration::from_secs(10);
/// How long it may take to answer then.
pub(crate) const ANSWER: Duration = Duration::from_secs(2);

pub(crate) async fn begin(pool: &PgPool) -> sqlx::Result<Transaction<'static, Postgres>> {
    pool.begin_with(BEGIN).await
}

/// Begins to make tables: of two processes that start at once, one waits. `IF NOT EXISTS` alone
/// does not see what the other one has not committed.
pub(crate) async fn begin_to_migrate(
    pool: &PgPool,
) -> sqlx::Result<Transaction<'static, Postgres>> {
    let mut tx = begin(pool).await?;
    tx.execute("SELECT pg_advisory_xact_lock(7340915128)").await?;
    Ok(tx)
}

/// Not prepared by name: PgBouncer may send the next one to another server.
pub(crate) fn query(sql: &str) -> Query<'_, Postgres, PgArguments> {
    sqlx::query(sql).persistent(false)
}

/// Tells `message` to whoever hears `channel`, when the transaction is committed.
pub(crate) async fn notify(
    tx: &mut Transaction<'static, Postgres>,
    channel: &str,
    message: String,
) -> sqlx::Result<PgQueryResult> {
    query("SELECT pg_notify($1, $2)").bind(channel).bind(message).execute(&mut **tx).await
}

/// Passes on what is told, until the connection is lost. Gives the reason.
pub(crate) async fn hear(
    mut heard: PgListener,
    mut pass_on: impl FnMut(&str) + Send,
) -> Box<dyn Error + Send + Sync + 'static> {
    let failed = |error| super::without_rows("PostgreSQL", error);
    loop {
        match tokio::time::timeout(QUIET, heard.try_recv()).await {
            Ok(Ok(Some(message))) => pass_on(message.payload()),
            Ok(Ok(None)) => return "the connection was closed".into(),
            Ok(Err(error)) => return failed(error),
            // A connection may break without a word.
            Err(_quiet) => match tokio::time::timeout(ANSWER, heard.execute("SELECT 1")).await {
                Ok(Ok(_answer)) => {}
                Ok(Err(error)) => return failed(error),
                Err(_elapsed) => return "the connection does not answer".into(),
            },
        }
    }
}
