//! Token records in SQLite, for the processes of one machine.
//!
//! SQLite runs one statement that writes after the other, whichever process sends it. It tells
//! nobody what others have done: they look.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use sqlx::{Executor, Sqlite, SqlitePool, Transaction, sqlite::SqliteQueryResult};

use super::{
    Loaded, NameKey, Put, RecordKey, RecordVersion, StoreError, Swapped, TokenRecord, TokenStore,
    sql::{Dialect, REAP_EVERY, REAPED_AT_ONCE, Row, Statements, bind, loaded, not_put, signed},
};
use crate::databases::{Reaper, SQLITE_NOW, without_rows};

const DIALECT: Dialect = Dialect { bytes: "blob", now: SQLITE_NOW, greatest: "max" };

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
/// processes notice endings within [`confirm_after`](crate::RefreshPolicy::confirm_after), and the
/// end of a refresh within a second.
#[derive(Clone)]
pub struct SqliteTokens(Arc<Inner>);

struct Inner {
    pool: SqlitePool,
    statements: Statements,
    reaper: Reaper,
}

impl SqliteTokens {
    /// Keeps records in the tables `token_records` and `token_record_names`.
    /// [`migrate`](Self::migrate) makes them.
    #[must_use]
    pub fn new(pool: SqlitePool) -> Self {
        let statements = Statements::new(&DIALECT, "");
        Self(Arc::new(Inner { pool, statements, reaper: Reaper::new("token records", REAP_EVERY) }))
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
        let load = sqlx::query_as(&self.0.statements.load).bind(key.to_bytes().to_vec());
        loaded(load.fetch_one(&self.0.pool).await.map_err(failed)?)
    }

    async fn create(
        &self,
        key: RecordKey,
        record: &TokenRecord,
        names: &[NameKey],
    ) -> Result<(), StoreError> {
        let store = self.clone();
        self.0.reaper.run_if_due(|| async move { store.reap().await });
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
        let find = sqlx::query_scalar(&self.0.statements.find).bind(name.to_bytes().to_vec());
        let keys: Vec<Vec<u8>> = find.fetch_all(&self.0.pool).await.map_err(failed)?;
        let keys = keys.into_iter().filter_map(|key| key.try_into().ok());
        Ok(keys.map(RecordKey::from_bytes).collect())
    }
}

fn has_written(result: &SqliteQueryResult) -> bool {
    result.rows_affected() > 0
}

fn failed(error: sqlx::Error) -> StoreError {
    StoreError::backend(without_rows("SQLite", error))
}

impl fmt::Debug for SqliteTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SqliteTokens")
    }
}
