//! Token records in SQLite, for the processes of one machine.
//!
//! SQLite runs one statement that writes after the other, whichever process sends it. It tells nobody
//! what others have done: they look.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use sqlx::{
    Executor, Row as _, Sqlite, SqlitePool, Transaction,
    query::Query,
    sqlite::{SqliteArguments, SqliteQueryResult},
};

use super::{
    Loaded, NameKey, Put, RecordKey, RecordVersion, StoreError, Swapped, TokenRecord, TokenStore,
    sql::{Dialect, REAP_EVERY, REAPED_AT_ONCE, Row, Statements, key_of, not_put, signed, time_of},
};
use crate::{
    clock::{Clock, Throttle},
    error::Chain,
};

const DIALECT: Dialect =
    Dialect { bytes: "blob", now: "CAST(unixepoch('subsec') * 1000 AS integer)", greatest: "max" };

/// A [`TokenStore`] in SQLite (3.42 or later), for any number of processes on one machine. Cheap to
/// clone.
///
/// ```
/// use tower_token_refresh::token_store::SqliteTokens;
/// use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let file = std::env::temp_dir().join(format!("tokens-{}.db", std::process::id()));
/// let options = SqliteConnectOptions::new()
///     .filename(&file)
///     .create_if_missing(true)
///     .journal_mode(SqliteJournalMode::Wal);
/// let tokens = SqliteTokens::new(SqlitePoolOptions::new().connect_with(options).await?);
/// tokens.migrate().await?;
/// # std::fs::remove_file(file)?;
/// # Ok(())
/// # }
/// ```
///
/// The file must lie on a local disk: SQLite's locks do not hold on network file systems. Other
/// processes notice endings within [`confirm_after`](crate::RefreshPolicy::confirm_after), and the end
/// of a refresh within a second.
#[derive(Clone)]
pub struct SqliteTokens(Arc<Inner>);

struct Inner {
    pool: SqlitePool,
    statements: Statements,
    clock: Clock,
    reap: Throttle,
}

impl SqliteTokens {
    /// Keeps records in the tables `token_records` and `token_record_names`.
    /// [`migrate`](Self::migrate) makes them.
    #[must_use]
    pub fn new(pool: SqlitePool) -> Self {
        let statements = Statements::new(&DIALECT, "");
        let (clock, reap) = (Clock::system(), Throttle::due(REAP_EVERY));
        Self(Arc::new(Inner { pool, statements, clock, reap }))
    }

    /// Makes the tables that are missing. Run it at each start, or make them yourself:
    /// `docs/several-processes.md` shows them.
    ///
    /// # Errors
    /// The database cannot be opened or refuses.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        for create in &self.0.statements.create_tables {
            self.0.pool.execute(create.as_str()).await.map_err(failed)?;
        }
        Ok(())
    }

    async fn note(
        &self,
        tx: &mut Transaction<'static, Sqlite>,
        names: &[NameKey],
        row: &Row,
    ) -> Result<(), StoreError> {
        for name in names {
            let note = sqlx::query(&self.0.statements.note);
            let note = note.bind(name.to_bytes().to_vec()).bind(&row.key).bind(row.keep_until);
            note.execute(&mut **tx).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Deletes rows past their time, now and then, while nobody waits for it.
    fn reap_if_due(&self) {
        if self.0.reap.is_due(self.0.clock.monotonic()) {
            let store = self.clone();
            tokio::spawn(async move {
                if let Err(error) = store.reap().await {
                    tracing::warn!(error = %Chain(&error), "old token records could not be deleted");
                }
            });
        }
    }

    async fn reap(&self) -> Result<(), StoreError> {
        for reap in &self.0.statements.reap {
            let mut reaped = REAPED_AT_ONCE;
            while reaped >= REAPED_AT_ONCE {
                let done = self.0.pool.execute(reap.as_str()).await.map_err(failed)?;
                reaped = done.rows_affected();
            }
        }
        Ok(())
    }
}

#[async_trait]
impl TokenStore for SqliteTokens {
    fn compares_and_swaps(&self) -> bool {
        true
    }

    async fn load(&self, key: RecordKey) -> Result<Loaded, StoreError> {
        let load = sqlx::query(&self.0.statements.load).bind(key.to_bytes().to_vec());
        let row = load.fetch_one(&self.0.pool).await.map_err(failed)?;
        let now = row.try_get(0).map_err(failed)?;
        let text: Option<String> = row.try_get(1).map_err(failed)?;
        let record = text.map(|text| TokenRecord::from_text(&text)).transpose()?;
        let loaded = Loaded::new(record);
        Ok(match time_of(now) {
            Some(now) => loaded.at(now),
            None => loaded,
        })
    }

    async fn create(
        &self,
        key: RecordKey,
        record: &TokenRecord,
        names: &[NameKey],
    ) -> Result<(), StoreError> {
        self.reap_if_due();
        let row = Row::of(key, record);
        let mut tx = self.0.pool.begin().await.map_err(failed)?;
        let created = bind(sqlx::query(&self.0.statements.create), &row);
        if !has_written(&created.execute(&mut *tx).await.map_err(failed)?) {
            return Err(StoreError::backend("there is a record already"));
        }
        self.note(&mut tx, names, &row).await?;
        tx.commit().await.map_err(failed)
    }

    async fn swap(
        &self,
        key: RecordKey,
        expected: RecordVersion,
        new: &TokenRecord,
    ) -> Result<Swapped, StoreError> {
        let row = Row::of(key, new);
        let swap = bind(sqlx::query(&self.0.statements.swap), &row)
            .bind(signed(expected.generation))
            .bind(expected.state.name())
            .bind(expected.nonce.to_string());
        let swapped = has_written(&swap.execute(&self.0.pool).await.map_err(failed)?);
        Ok(if swapped { Swapped::Done } else { Swapped::Changed })
    }

    async fn put_newer(
        &self,
        key: RecordKey,
        new: &TokenRecord,
        names: &[NameKey],
    ) -> Result<Put, StoreError> {
        let row = Row::of(key, new);
        // It begins with a write, so nobody writes between its statements.
        let mut tx = self.0.pool.begin().await.map_err(failed)?;
        let put = bind(sqlx::query(&self.0.statements.put_newer), &row);
        if has_written(&put.execute(&mut *tx).await.map_err(failed)?) {
            self.note(&mut tx, names, &row).await?;
            tx.commit().await.map_err(failed)?;
            return Ok(Put::Stored);
        }
        tx.rollback().await.map_err(failed)?;
        not_put(self.load(key).await?.record.as_ref(), new)
    }

    async fn find(&self, name: NameKey) -> Result<Vec<RecordKey>, StoreError> {
        let find = sqlx::query(&self.0.statements.find).bind(name.to_bytes().to_vec());
        let rows = find.fetch_all(&self.0.pool).await.map_err(failed)?;
        rows.iter()
            .map(|row| row.try_get::<Vec<u8>, _>(0).map_err(failed))
            .filter_map(|key| key.map(|key| key_of(&key)).transpose())
            .collect()
    }
}

fn bind<'q>(
    query: Query<'q, Sqlite, SqliteArguments<'q>>,
    row: &'q Row,
) -> Query<'q, Sqlite, SqliteArguments<'q>> {
    query
        .bind(&row.key)
        .bind(row.generation)
        .bind(row.state)
        .bind(&row.nonce)
        .bind(&row.text)
        .bind(row.keep_until)
}

fn has_written(result: &SqliteQueryResult) -> bool {
    result.rows_affected() > 0
}

/// A database's own words may quote a row, but for those of a failed connection.
fn failed(error: sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default().into_owned();
            StoreError::backend(format!("SQLite refused a statement (code {code})"))
        }
        error => StoreError::backend(error),
    }
}

impl fmt::Debug for SqliteTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SqliteTokens")
    }
}
