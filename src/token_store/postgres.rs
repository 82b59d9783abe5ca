//! Token records in PostgreSQL.
//!
//! Each call is one transaction of statements that are not prepared, so that it works behind PgBouncer
//! in transaction mode. What other processes are told goes by `NOTIFY`, which needs a connection of its
//! own to hear it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use sqlx::{
    Executor, PgPool, Postgres, Row as _, Transaction,
    postgres::{PgArguments, PgListener, PgQueryResult},
    query::Query,
};

use super::{
    Loaded, NameKey, Nonce, Put, RecordKey, RecordListener, RecordVersion, StoreError, Swapped,
    TokenRecord, TokenStore,
    sql::{Dialect, REAP_EVERY, REAPED_AT_ONCE, Row, Statements, key_of, not_put, signed, time_of},
    told,
};
use crate::{
    clock::{Clock, Throttle},
    error::Chain,
};

const DIALECT: Dialect = Dialect {
    bytes: "bytea",
    // Not `clock_timestamp()`: no index serves a function that may change from row to row.
    now: "(extract(epoch FROM statement_timestamp()) * 1000)::bigint",
    greatest: "greatest",
};
const CHANNEL: &str = "token_records";
/// How long a connection that hears nothing is trusted.
const QUIET: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(2);
/// How long a process that hears nothing waits before it tries again.
const DEAF_FOR: Duration = Duration::from_secs(60);
/// Behind another level, a record that somebody else has changed would be an error.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
/// With what follows it, a schema's name makes a channel's: at most 63 bytes.
const LONGEST_SCHEMA: usize = 48;

/// A [`TokenStore`] in PostgreSQL (12 or later), for any number of processes. Cheap to clone.
///
/// ```no_run
/// use tower_token_refresh::token_store::PostgresTokens;
/// use sqlx::PgPool;
///
/// # async fn store() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = PgPool::connect("postgres://localhost/shop").await?;
/// let tokens = PostgresTokens::new(pool);
/// tokens.migrate().await?;
/// # Ok(())
/// # }
/// ```
///
/// It keeps one connection of the pool for itself, to hear what other processes do: the pool needs two
/// or more. Behind PgBouncer in
/// transaction mode that connection hears nothing: give a direct one with
/// [`hear_by`](Self::hear_by), or other processes' endings and refreshes are noticed later.
#[derive(Clone)]
pub struct PostgresTokens(Arc<Inner>);

struct Inner {
    pool: PgPool,
    direct: Option<PgPool>,
    statements: Statements,
    channel: String,
    schema: String,
    clock: Clock,
    reap: Throttle,
    warned_of_silence: AtomicBool,
}

/// A name of a schema that SQL takes for something else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the schema {0:?} is not a name of at most 48 ASCII letters, digits and underscores that begins \
     with a letter"
)]
pub struct SchemaNameError(String);

impl PostgresTokens {
    /// Keeps records in the tables `token_records` and `token_record_names` of the schema that `pool`
    /// looks in first. [`migrate`](Self::migrate) makes them.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self::over(pool, None, String::new())
    }

    /// Keeps them in the tables of `schema`.
    ///
    /// # Errors
    /// The name is not one of at most 48 ASCII letters, digits and underscores that begins with a
    /// letter.
    pub fn with_schema(self, schema: &str) -> Result<Self, SchemaNameError> {
        let is_name = schema.len() <= LONGEST_SCHEMA
            && schema.starts_with(|first: char| first.is_ascii_alphabetic())
            && schema.chars().all(|next| next.is_ascii_alphanumeric() || next == '_');
        if !is_name {
            return Err(SchemaNameError(schema.to_owned()));
        }
        Ok(Self::over(self.0.pool.clone(), self.0.direct.clone(), schema.to_owned()))
    }

    /// Hears what other processes do by a connection of `direct`, where the pool itself goes through
    /// PgBouncer.
    #[must_use]
    pub fn hear_by(self, direct: PgPool) -> Self {
        Self::over(self.0.pool.clone(), Some(direct), self.0.schema.clone())
    }

    fn over(pool: PgPool, direct: Option<PgPool>, schema: String) -> Self {
        let (prefix, channel) = match &*schema {
            "" => (String::new(), CHANNEL.to_owned()),
            schema => (format!("\"{schema}\"."), format!("{schema}_{CHANNEL}")),
        };
        let statements = Statements::new(&DIALECT, &prefix);
        let (clock, reap) = (Clock::system(), Throttle::due(REAP_EVERY));
        let warned_of_silence = AtomicBool::new(false);
        Self(Arc::new(Inner {
            pool,
            direct,
            statements,
            channel,
            schema,
            clock,
            reap,
            warned_of_silence,
        }))
    }

    /// Makes the tables that are missing. Run it at each start, or make them yourself:
    /// `docs/several-processes.md` shows them.
    ///
    /// # Errors
    /// The database cannot be reached or refuses.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        // Of two processes that start at once, one waits: `IF NOT EXISTS` alone does not see what the
        // other one has not committed.
        tx.execute("SELECT pg_advisory_xact_lock(7340915128)").await.map_err(failed)?;
        if !self.0.schema.is_empty() {
            let create = format!("CREATE SCHEMA IF NOT EXISTS \"{}\"", self.0.schema);
            tx.execute(create.as_str()).await.map_err(failed)?;
        }
        for create in &self.0.statements.create_tables {
            tx.execute(create.as_str()).await.map_err(failed)?;
        }
        tx.commit().await.map_err(failed)
    }

    async fn begin(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        self.0.pool.begin_with(BEGIN).await.map_err(failed)
    }

    /// Commits what has written `new`, and tells who listens, unless a refresh only begins.
    async fn commit(
        &self,
        mut tx: Transaction<'static, Postgres>,
        key: RecordKey,
        new: &TokenRecord,
    ) -> Result<(), StoreError> {
        if let Some(message) = told::message(key, new) {
            let notify = query("SELECT pg_notify($1, $2)").bind(&self.0.channel).bind(message);
            notify.execute(&mut *tx).await.map_err(failed)?;
        }
        tx.commit().await.map_err(failed)
    }

    async fn note(
        &self,
        tx: &mut Transaction<'static, Postgres>,
        names: &[NameKey],
        row: &Row,
    ) -> Result<(), StoreError> {
        for name in names {
            let note = query(&self.0.statements.note);
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
                let mut tx = self.begin().await?;
                reaped = query(reap).execute(&mut *tx).await.map_err(failed)?.rows_affected();
                tx.commit().await.map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Whether what this process publishes comes back by `listener`: not through PgBouncer.
    async fn is_heard(&self, listener: &mut PgListener) -> Result<bool, StoreError> {
        let probe = Nonce::random().to_string();
        let mut tx = self.begin().await?;
        let notify = query("SELECT pg_notify($1, $2)").bind(&self.0.channel).bind(&probe);
        notify.execute(&mut *tx).await.map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        let heard = async {
            while let Some(heard) = listener.try_recv().await.map_err(failed)? {
                if heard.payload() == probe {
                    return Ok(true);
                }
            }
            Err(StoreError::backend("the connection was closed"))
        };
        tokio::time::timeout(ANSWER, heard).await.unwrap_or(Ok(false))
    }
}

#[async_trait]
impl TokenStore for PostgresTokens {
    fn compares_and_swaps(&self) -> bool {
        true
    }

    async fn load(&self, key: RecordKey) -> Result<Loaded, StoreError> {
        let mut tx = self.begin().await?;
        let loaded = load(&mut tx, &self.0.statements, key).await?;
        tx.commit().await.map_err(failed)?;
        Ok(loaded)
    }

    async fn create(
        &self,
        key: RecordKey,
        record: &TokenRecord,
        names: &[NameKey],
    ) -> Result<(), StoreError> {
        self.reap_if_due();
        let row = Row::of(key, record);
        let mut tx = self.begin().await?;
        let written = bind(query(&self.0.statements.create), &row).execute(&mut *tx).await;
        if !has_written(&written.map_err(failed)?) {
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
        let mut tx = self.begin().await?;
        let swap = bind(query(&self.0.statements.swap), &row)
            .bind(signed(expected.generation))
            .bind(expected.state.name())
            .bind(expected.nonce.to_string());
        if !has_written(&swap.execute(&mut *tx).await.map_err(failed)?) {
            return Ok(Swapped::Changed);
        }
        self.commit(tx, key, new).await?;
        Ok(Swapped::Done)
    }

    async fn put_newer(
        &self,
        key: RecordKey,
        new: &TokenRecord,
        names: &[NameKey],
    ) -> Result<Put, StoreError> {
        let row = Row::of(key, new);
        let mut tx = self.begin().await?;
        let written = bind(query(&self.0.statements.put_newer), &row).execute(&mut *tx).await;
        if !has_written(&written.map_err(failed)?) {
            let loaded = load(&mut tx, &self.0.statements, key).await?;
            return not_put(loaded.record.as_ref(), new);
        }
        self.note(&mut tx, names, &row).await?;
        self.commit(tx, key, new).await?;
        Ok(Put::Stored)
    }

    async fn find(&self, name: NameKey) -> Result<Vec<RecordKey>, StoreError> {
        let mut tx = self.begin().await?;
        let find = query(&self.0.statements.find).bind(name.to_bytes().to_vec());
        let rows = find.fetch_all(&mut *tx).await.map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        rows.iter()
            .map(|row| row.try_get::<Vec<u8>, _>(0).map_err(failed))
            .filter_map(|key| key.map(|key| key_of(&key)).transpose())
            .collect()
    }

    async fn listen(&self, listener: &dyn RecordListener) -> Result<(), StoreError> {
        let pool = self.0.direct.as_ref().unwrap_or(&self.0.pool);
        let mut heard = PgListener::connect_with(pool).await.map_err(failed)?;
        heard.listen(&self.0.channel).await.map_err(failed)?;
        if !self.is_heard(&mut heard).await? {
            if !self.0.warned_of_silence.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    "PostgreSQL does not tell this process what others do, as behind PgBouncer: \
                     their endings and refreshes are noticed later. Give a direct connection with \
                     `hear_by` (logged once)"
                );
            }
            drop(heard);
            // It may have been slow only.
            tokio::time::sleep(DEAF_FOR).await;
            return Err(StoreError::backend("PostgreSQL tells nothing"));
        }
        listener.listening();
        loop {
            match tokio::time::timeout(QUIET, heard.try_recv()).await {
                Ok(Ok(Some(message))) => told::tell(listener, message.payload()),
                Ok(Ok(None)) => return Err(StoreError::backend("the connection was closed")),
                Ok(Err(error)) => return Err(failed(error)),
                // A connection may break without a word.
                Err(_quiet) => {
                    match tokio::time::timeout(ANSWER, heard.execute("SELECT 1")).await {
                        Ok(answer) => answer.map_err(failed)?,
                        Err(_elapsed) => {
                            return Err(StoreError::backend("the connection does not answer"));
                        }
                    };
                }
            }
        }
    }
}

async fn load(
    tx: &mut Transaction<'static, Postgres>,
    statements: &Statements,
    key: RecordKey,
) -> Result<Loaded, StoreError> {
    let load = query(&statements.load).bind(key.to_bytes().to_vec());
    let row = load.fetch_one(&mut **tx).await.map_err(failed)?;
    let (now, text) = (row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
    let text: Option<String> = text;
    let record = text.map(|text| TokenRecord::from_text(&text)).transpose()?;
    let loaded = Loaded::new(record);
    Ok(match time_of(now) {
        Some(now) => loaded.at(now),
        None => loaded,
    })
}

/// Not prepared by name: PgBouncer may send the next one to another server.
fn query(sql: &str) -> Query<'_, Postgres, PgArguments> {
    sqlx::query(sql).persistent(false)
}

fn bind<'q>(
    query: Query<'q, Postgres, PgArguments>,
    row: &'q Row,
) -> Query<'q, Postgres, PgArguments> {
    query
        .bind(&row.key)
        .bind(row.generation)
        .bind(row.state)
        .bind(&row.nonce)
        .bind(&row.text)
        .bind(row.keep_until)
}

fn has_written(result: &PgQueryResult) -> bool {
    result.rows_affected() > 0
}

/// A database's own words may quote a row, but for those of a failed connection.
fn failed(error: sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default().into_owned();
            StoreError::backend(format!("PostgreSQL refused a statement (SQLSTATE {code})"))
        }
        error => StoreError::backend(error),
    }
}

impl fmt::Debug for PostgresTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresTokens").field("schema", &self.0.schema).finish_non_exhaustive()
    }
}
