//! How PostgreSQL is talked to: in transactions of statements that are not prepared, so that it
//! works behind PgBouncer in transaction mode.

use std::{
    error::Error,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use sqlx::{
    Executor, FromRow, PgPool, Postgres, Transaction,
    postgres::{PgArguments, PgListener, PgQueryResult, PgRow},
    query::Query,
};

use crate::{hex, keep_listening::QUIET};

/// PostgreSQL's time, in milliseconds since 1970. Not `clock_timestamp()`: no index serves a
/// function that may change from row to row.
pub(crate) const NOW: &str = "(extract(epoch FROM statement_timestamp()) * 1000)::bigint";
/// Behind another level, a row that somebody else has changed would be an error. And a process that
/// freezes or is cut off between two statements would lock its row, and with a migration behind it
/// the whole table, for as long as the server believes in the connection.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; \
                     SET LOCAL idle_in_transaction_session_timeout = '5s'";
/// How long whoever cannot listen behind a pooler waits before the next attempt.
const LISTEN_RETRY: Duration = Duration::from_secs(60);
/// How often a connection is asked whether it is always the same one at the server.
const POOLER_PROBES: usize = 3;
/// How long a connection may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

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

/// One statement in one round trip, which is a transaction of its own: nothing is left open if the
/// process freezes. Values stand in the text, so they must be numbers or [`bytes`].
pub(crate) async fn ask_once<'c, T>(
    by: impl Executor<'c, Database = Postgres>,
    statement: &str,
) -> sqlx::Result<Vec<T>>
where
    T: for<'row> FromRow<'row, PgRow>,
{
    let text = format!("SET TRANSACTION ISOLATION LEVEL READ COMMITTED; {statement}");
    let rows = by.fetch_all(sqlx::raw_sql(&text)).await?;
    rows.iter().map(T::from_row).collect()
}

/// Bytes as they stand in the text of a statement.
pub(crate) fn bytes(bytes: [u8; 16]) -> String {
    format!("'\\x{}'::bytea", hex::digits(bytes))
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

/// Listens, and remembers that it could not.
#[derive(Default)]
pub(crate) struct Listening {
    is_pooled: AtomicBool,
}

impl Listening {
    /// A connection of `pool` that is told what happens in `channel`. It fails behind a pooler that
    /// gives each transaction another connection to the server, such as PgBouncer in transaction
    /// mode, and waits for a minute before it looks again: it may have been slow only.
    ///
    /// `others` is the pool that the other statements go through.
    pub(crate) async fn begin(
        &self,
        pool: &PgPool,
        others: &PgPool,
        channel: &str,
    ) -> Result<PgListener, Box<dyn Error + Send + Sync + 'static>> {
        if self.is_pooled.load(Ordering::Relaxed) {
            tokio::time::sleep(LISTEN_RETRY).await;
        }
        let listening = listen(pool, others, channel).await;
        let listening = listening.map_err(|error| super::without_rows("PostgreSQL", error))?;
        self.is_pooled.store(listening.is_none(), Ordering::Relaxed);
        listening.ok_or_else(|| {
            "behind a pooler such as PgBouncer, PostgreSQL notifies nobody; \
             `PostgresTokens::listen_through` takes a pool of connections without one"
                .into()
        })
    }
}

/// None behind such a pooler: whoever used the listening connection next would get the messages, and
/// sqlx breaks off what it does not expect.
async fn listen(pool: &PgPool, others: &PgPool, channel: &str) -> sqlx::Result<Option<PgListener>> {
    let mut listener = PgListener::connect_with(pool).await?;
    for _ in 0..POOLER_PROBES {
        let Some(mine) = server_process(&mut listener).await? else { return Ok(None) };
        let mut other = begin(others).await?;
        let theirs = server_process(&mut *other).await?;
        // While the other one is in a transaction, a pooler cannot give this one the same again.
        let is_mine_alone =
            theirs != Some(mine) && server_process(&mut listener).await? == Some(mine);
        other.rollback().await?;
        if !is_mine_alone {
            return Ok(None);
        }
    }
    listener.listen(channel).await?;
    Ok(Some(listener))
}

/// Which process of the server answers. None if none does: a pooler may have none to spare.
async fn server_process<'c>(
    by: impl Executor<'c, Database = Postgres>,
) -> sqlx::Result<Option<i32>> {
    let asking = ask_once::<(i32,)>(by, "SELECT pg_backend_pid()");
    match tokio::time::timeout(ANSWER, asking).await {
        Ok(answer) => Ok(answer?.pop().map(|(process,)| process)),
        Err(_elapsed) => Ok(None),
    }
}

/// Passes on what is told, until the connection is lost. Gives the reason.
pub(crate) async fn receive_until_lost(
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
