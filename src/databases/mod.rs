//! What the token stores and the locks in a database share.

#[cfg(feature = "postgres")]
pub(crate) mod postgres;
mod reaper;

use std::error::Error;

pub(crate) use reaper::Reaper;

/// SQLite's time, in milliseconds since 1970.
#[cfg(feature = "sqlite")]
pub(crate) const SQLITE_NOW: &str = "CAST(unixepoch('subsec') * 1000 AS integer)";

/// An error that is safe to show. A database's own words may quote a row; those of a failed
/// connection do not.
pub(crate) fn without_rows(
    engine: &str,
    error: sqlx::Error,
) -> Box<dyn Error + Send + Sync + 'static> {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            format!("{engine} refused a statement (code {code})").into()
        }
        error => error.into(),
    }
}
