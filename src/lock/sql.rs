//! The statements of locks in a database, and their table.
//!
//! ```sql
//! CREATE TABLE lock_leases (
//!     key     bytea  PRIMARY KEY, -- 16 bytes
//!     owner   bytea  NOT NULL,    -- 16 random bytes
//!     ends_at bigint NOT NULL     -- milliseconds since 1970, by the database's clock
//! );
//! ```
//!
//! A table, and not PostgreSQL's advisory locks: those belong to a connection, so each holder would
//! take one for as long as it holds, and behind PgBouncer they go to whoever uses the connection
//! next.

use std::time::Duration;

pub(super) const REAP_EVERY: Duration = Duration::from_secs(60);

/// Every statement, as text. Arguments are `$1`, `$2` and so on; times are milliseconds.
pub(super) struct Statements {
    pub(super) create_table: String,
    /// `key, owner, lease`.
    pub(super) take: String,
    /// `key, owner, lease`.
    pub(super) renew: String,
    /// `key, owner`.
    pub(super) release: String,
    /// `key`; gives how long it is held, or nothing.
    pub(super) left: String,
    /// Drops leases that have ended.
    pub(super) reap: String,
}

impl Statements {
    /// `bytes` is the type of bytes, `now` the database's time.
    pub(super) fn new(bytes: &str, now: &str) -> Self {
        let table = "lock_leases";
        Self {
            create_table: format!(
                "CREATE TABLE IF NOT EXISTS {table} (key {bytes} PRIMARY KEY, \
                 owner {bytes} NOT NULL, ends_at bigint NOT NULL)"
            ),
            take: format!(
                "INSERT INTO {table} (key, owner, ends_at) VALUES ($1, $2, {now} + $3) \
                 ON CONFLICT (key) DO UPDATE SET owner = $2, ends_at = {now} + $3 \
                 WHERE {table}.ends_at <= {now}"
            ),
            renew: format!(
                "UPDATE {table} SET ends_at = {now} + $3 \
                 WHERE key = $1 AND owner = $2 AND ends_at > {now}"
            ),
            release: format!(
                "DELETE FROM {table} WHERE key = $1 AND owner = $2 AND ends_at > {now}"
            ),
            left: format!("SELECT ends_at - {now} FROM {table} WHERE key = $1 AND ends_at > {now}"),
            reap: format!("DELETE FROM {table} WHERE ends_at <= {now}"),
        }
    }
}

/// How long, as databases count.
pub(super) fn signed_millis(lease: Duration) -> i64 {
    i64::try_from(lease.as_millis()).unwrap_or(i64::MAX)
}
