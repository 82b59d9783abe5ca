//! The statements of a token store in a database, and its tables.
//!
//! ```sql
//! CREATE TABLE token_records (
//!     key        bytea  PRIMARY KEY, -- 16 bytes
//!     generation bigint NOT NULL,    -- the version of the record: what is compared
//!     state      text   NOT NULL,
//!     nonce      text   NOT NULL,
//!     record     text   NOT NULL,    -- its text
//!     keep_until bigint NOT NULL     -- milliseconds since 1970; then the row may go
//! );
//! CREATE TABLE token_record_names (
//!     name       bytea  NOT NULL,    -- 16 bytes
//!     key        bytea  NOT NULL,
//!     keep_until bigint NOT NULL,
//!     PRIMARY KEY (name, key)
//! );
//! ```
//!
//! A record is written by one conditional `INSERT` or `UPDATE`, so the database compares and writes
//! in one step; `end` is a load and a swap, again if another process wrote in between. A row past its
//! time counts as gone, and goes with one of the next logins.

use std::time::Duration;

use sqlx::{Database, Encode, Type, query::Query};

use super::{
    Loaded, Put, RecordKey, StoreError, TokenRecord,
    text::{drop_at, from_millis},
};

/// How many rows one statement deletes. As long as it finds so many, there are more.
pub(super) const REAPED_AT_ONCE: u64 = 1_000;
pub(super) const REAP_EVERY: Duration = Duration::from_secs(10 * 60);

/// What differs between databases.
pub(super) struct Dialect {
    /// The name of the type of bytes.
    pub(super) bytes: &'static str,
    /// The database's time, in milliseconds since 1970.
    pub(super) now: &'static str,
    /// The larger of two values.
    pub(super) greatest: &'static str,
}

/// Every statement, as text. Arguments are `$1`, `$2` and so on.
pub(super) struct Statements {
    pub(super) create_tables: [String; 4],
    /// `key`; gives the time and the text or null.
    pub(super) load: String,
    /// `key, generation, state, nonce, record, keep_until`.
    pub(super) create: String,
    /// As [`create`](Self::create), and the expected generation, state and nonce.
    pub(super) swap: String,
    /// As [`create`](Self::create).
    pub(super) put_newer: String,
    /// `name, key, keep_until`.
    pub(super) note: String,
    /// `name`; gives keys.
    pub(super) find: String,
    pub(super) reap: [String; 2],
}

impl Statements {
    /// `schema` is empty, or ends with a dot.
    pub(super) fn new(dialect: &Dialect, schema: &str) -> Self {
        let Dialect { bytes, now, greatest } = dialect;
        let records = format!("{schema}token_records");
        let names = format!("{schema}token_record_names");
        let set = "generation = $2, state = $3, nonce = $4, record = $5, keep_until = $6";
        let reap = |table| {
            format!(
                "DELETE FROM {table} WHERE key IN \
                 (SELECT key FROM {table} WHERE keep_until <= {now} LIMIT {REAPED_AT_ONCE}) \
                 AND keep_until <= {now}"
            )
        };
        Self {
            create_tables: [
                format!(
                    "CREATE TABLE IF NOT EXISTS {records} (key {bytes} PRIMARY KEY, \
                     generation bigint NOT NULL, state text NOT NULL, nonce text NOT NULL, \
                     record text NOT NULL, keep_until bigint NOT NULL)"
                ),
                format!(
                    "CREATE INDEX IF NOT EXISTS token_records_keep_until ON {records} (keep_until)"
                ),
                format!(
                    "CREATE TABLE IF NOT EXISTS {names} (name {bytes} NOT NULL, \
                     key {bytes} NOT NULL, keep_until bigint NOT NULL, PRIMARY KEY (name, key))"
                ),
                format!(
                    "CREATE INDEX IF NOT EXISTS token_record_names_keep_until ON {names} (keep_until)"
                ),
            ],
            load: format!(
                "SELECT {now}, (SELECT record FROM {records} WHERE key = $1 AND keep_until > {now})"
            ),
            create: format!(
                "INSERT INTO {records} (key, generation, state, nonce, record, keep_until) \
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (key) DO UPDATE SET {set} \
                 WHERE {records}.keep_until <= {now}"
            ),
            swap: format!(
                "UPDATE {records} SET {set} WHERE key = $1 AND keep_until > {now} \
                 AND generation = $7 AND state = $8 AND nonce = $9"
            ),
            put_newer: format!(
                "UPDATE {records} SET {set} WHERE key = $1 AND keep_until > {now} \
                 AND state <> 'ended' \
                 AND (generation < $2 OR (generation = $2 AND nonce = $4))"
            ),
            note: format!(
                "INSERT INTO {names} (name, key, keep_until) VALUES ($1, $2, $3) \
                 ON CONFLICT (name, key) DO UPDATE \
                 SET keep_until = {greatest}({names}.keep_until, $3)"
            ),
            find: format!(
                "SELECT {names}.key FROM {names} JOIN {records} ON {records}.key = {names}.key \
                 WHERE name = $1 AND {names}.keep_until > {now} \
                 AND {records}.keep_until > {now} AND state <> 'ended'"
            ),
            reap: [reap(&records), reap(&names)],
        }
    }
}

/// A record as a row.
pub(super) struct Row {
    pub(super) key: Vec<u8>,
    pub(super) generation: i64,
    pub(super) state: &'static str,
    pub(super) nonce: String,
    pub(super) text: String,
    pub(super) keep_until: i64,
}

impl Row {
    pub(super) fn of(key: RecordKey, record: &TokenRecord) -> Self {
        let version = record.version();
        Self {
            key: key.to_bytes().to_vec(),
            generation: signed(version.generation),
            state: version.state.name(),
            nonce: version.nonce.to_string(),
            text: record.to_text(),
            keep_until: signed(drop_at(record.keep_until())),
        }
    }
}

/// Why an update by [`put_newer`](Statements::put_newer) has written nothing, by what is stored.
pub(super) fn not_put(stored: Option<&TokenRecord>, new: &TokenRecord) -> Result<Put, StoreError> {
    match stored.map(|stored| stored.judge(new)) {
        None => Ok(Put::Absent),
        Some(Put::Stored) => Err(StoreError::backend("the record kept changing")),
        Some(put) => Ok(put),
    }
}

/// What [`load`](Statements::load) has given.
pub(super) fn loaded((now, text): (i64, Option<String>)) -> Result<Loaded, StoreError> {
    let record = text.map(|text| TokenRecord::from_text(&text)).transpose()?;
    Ok(Loaded { record, now: u64::try_from(now).ok().and_then(from_millis) })
}

/// The arguments of a row, in the order of [`create`](Statements::create).
pub(super) fn bind<'q, D: Database>(
    query: Query<'q, D, D::Arguments<'q>>,
    row: &'q Row,
) -> Query<'q, D, D::Arguments<'q>>
where
    &'q Vec<u8>: Encode<'q, D> + Type<D>,
    &'q str: Encode<'q, D> + Type<D>,
    i64: Encode<'q, D> + Type<D>,
{
    let state: &'q str = row.state;
    query
        .bind(&row.key)
        .bind(row.generation)
        .bind(state)
        .bind(row.nonce.as_str())
        .bind(row.text.as_str())
        .bind(row.keep_until)
}

/// Databases have no larger integers; both counts and times stay far below.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
