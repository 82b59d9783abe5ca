//! How PostgreSQL is talked to: in transactions of statements that are not prepared, so that it
//! works behind PgBouncer in transaction mode.

mod connection;
mod listening;

use std::time::Duration;

use sqlx::{
    Executor, FromRow, PgPool, Postgres,
    postgres::{PgArguments, PgRow},
    query::Query,
};

use self::connection::Connection;
pub(crate) use self::{
    connection::Transaction,
    listening::{Listening, receive_until_lost},
};
use crate::hex;

/// PostgreSQL's time, in milliseconds since 1970. Not `clock_timestamp()`: no index serves a
/// function that may change from row to row.
pub(crate) const NOW: &str = "(extract(epoch FROM statement_timestamp()) * 1000)::bigint";
/// How long a lone statement may take: a connection may break without a word.
const LONGEST_STATEMENT: Duration = Duration::from_secs(10);

/// One statement in one round trip, which is a transaction of its own: nothing is left open if the
/// process freezes. Values stand in the text, so they must be numbers or [`bytes`].
pub(crate) async fn ask_once<T>(pool: &PgPool, statement: &str) -> sqlx::Result<Vec<T>>
where
    T: for<'row> FromRow<'row, PgRow>,
{
    let mut connection = Connection::of(pool).await?;
    let asking = rows(&mut *connection, statement);
    let answer = tokio::time::timeout(LONGEST_STATEMENT, asking).await;
    let answer = answer.unwrap_or(Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()));
    if matches!(answer, Ok(_) | Err(sqlx::Error::Database(_))) {
        connection.release();
    }
    answer
}

async fn rows<'c, T>(
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

/// Asks whether a table or an index is there: in `schema`, or where that is empty, in the schema that
/// the connection looks in first, which is where it would be made.
pub(crate) fn table_exists(schema: &str, name: &str) -> String {
    let schema = match schema {
        "" => "quote_ident(current_schema())".to_owned(),
        schema => format!("'\"{schema}\"'"),
    };
    format!("SELECT to_regclass({schema} || '.{name}') IS NOT NULL")
}

/// Bytes as they stand in the text of a statement. Not as a literal of `bytea`: whether a backslash
/// escapes is a setting.
pub(crate) fn bytes(bytes: [u8; 16]) -> String {
    format!("decode('{}', 'hex')", hex::digits(bytes))
}

/// Not prepared by name: PgBouncer may send the next one to another server.
pub(crate) fn query(sql: &str) -> Query<'_, Postgres, PgArguments> {
    sqlx::query(sql).persistent(false)
}
