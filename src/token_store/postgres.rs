//! Token records in PostgreSQL.
//!
//! Each call is one transaction of statements that are not prepared, so that it works behind
//! PgBouncer in transaction mode. What other processes are told goes by `NOTIFY`, which needs a
//! connection of its own to receive it.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use sqlx::{Executor, PgPool, postgres::PgQueryResult};

use super::{
    Loaded, NameKey, Put, RecordKey, RecordListener, RecordVersion, StoreError, Swapped,
    TokenRecord, TokenStore, notification,
    sql::{Dialect, REAP_EVERY, REAPED_AT_ONCE, Row, Statements, bind, loaded, not_put, signed},
};
use crate::{
    databases::{
        Reaper,
        postgres::{
            Listening, NOW, Transaction, ask_once, bytes, query, receive_until_lost, table_exists,
        },
        without_rows,
    },
    hex,
};

const DIALECT: Dialect = Dialect { bytes: "bytea", now: NOW, greatest: "greatest" };
const CHANNEL: &str = "token_records";
/// The most bytes of a message, the end excluded (PostgreSQL's documentation of NOTIFY).
const LONGEST_MESSAGE: usize = 8_000;
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
/// It opens one connection beside the pool, to be notified of what other processes do. Behind
/// PgBouncer in transaction mode that is not possible: name a pool without it with
/// [`listen_through`](Self::listen_through), or other processes' endings and refreshes are noticed
/// later.
#[derive(Clone)]
pub struct PostgresTokens(Arc<Inner>);

struct Inner {
    pool: PgPool,
    direct: Option<PgPool>,
    statements: Statements,
    channel: String,
    schema: String,
    reaper: Reaper,
    listening: Listening,
}

/// A name of a schema that SQL takes for something else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the schema {0:?} is not a name of at most 48 ASCII letters, digits and underscores that begins \
     with a letter"
)]
pub struct SchemaNameError(String);

impl PostgresTokens {
    /// Keeps records in the tables `token_records` and `token_record_names` of the schema that
    /// `pool` looks in first. [`migrate`](Self::migrate) makes them.
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

    /// Listens to what other processes do over a connection of `direct`, for a pool that goes
    /// through PgBouncer.
    #[must_use]
    pub fn listen_through(self, direct: PgPool) -> Self {
        Self::over(self.0.pool.clone(), Some(direct), self.0.schema.clone())
    }

    fn over(pool: PgPool, direct: Option<PgPool>, schema: String) -> Self {
        let channel = match &*schema {
            "" => CHANNEL.to_owned(),
            schema => format!("{schema}_{CHANNEL}"),
        };
        let statements = Statements::new(&DIALECT, &prefix_of(&schema));
        let reaper = Reaper::new("token records", REAP_EVERY);
        let listening = Listening::default();
        Self(Arc::new(Inner { pool, direct, statements, channel, schema, reaper, listening }))
    }

    /// Makes the tables that are missing. Run it at each start, or make them yourself:
    /// `docs/several-processes.md` shows them.
    ///
    /// # Errors
    /// The database cannot be reached or refuses.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        match self.make_tables().await {
            // Another process made the schema at that moment: the second look sees it.
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                self.make_tables().await
            }
            made => made,
        }
        .map_err(failed)
    }

    async fn make_tables(&self) -> sqlx::Result<()> {
        // `CREATE INDEX IF NOT EXISTS` locks a table that is in use before it looks.
        let look = table_exists(&self.0.schema, "token_record_names_keep_until");
        if let [(true,)] = ask_once(&self.0.pool, &look).await?[..] {
            return Ok(());
        }
        let mut tx = Transaction::begin_to_migrate(&self.0.pool).await?;
        if !self.0.schema.is_empty() {
            let create = format!("CREATE SCHEMA IF NOT EXISTS \"{}\"", self.0.schema);
            tx.execute(create.as_str()).await?;
        }
        for create in &self.0.statements.create_tables {
            tx.execute(create.as_str()).await?;
        }
        tx.commit().await
    }

    async fn begin(&self) -> Result<Transaction, StoreError> {
        Transaction::begin(&self.0.pool).await.map_err(failed)
    }

    /// Commits what has written `new`, and tells who listens, unless a refresh only begins.
    async fn commit(
        &self,
        mut tx: Transaction,
        key: RecordKey,
        new: &TokenRecord,
    ) -> Result<(), StoreError> {
        if let Some(message) = notification::encode(key, new) {
            // Without its text an ending shows when the record is next read.
            let is_whole = message.len() < LONGEST_MESSAGE;
            let message = if is_whole { message } else { hex::digits(key.to_bytes()) };
            tx.notify(&self.0.channel, message).await.map_err(failed)?;
        }
        tx.commit().await.map_err(failed)
    }

    async fn note(
        &self,
        tx: &mut Transaction,
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
}

#[async_trait]
impl TokenStore for PostgresTokens {
    fn compares_and_swaps(&self) -> bool {
        true
    }

    async fn load(&self, key: RecordKey) -> Result<Loaded, StoreError> {
        let load = self.0.statements.load.replace("$1", &bytes(key.to_bytes()));
        let row = ask_once(&self.0.pool, &load).await.map_err(failed)?.pop();
        loaded(row.ok_or_else(|| failed(sqlx::Error::RowNotFound))?)
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
            tx.rollback().await.map_err(failed)?;
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
            tx.rollback().await.map_err(failed)?;
            return not_put(self.load(key).await?.record.as_ref(), new);
        }
        self.note(&mut tx, names, &row).await?;
        self.commit(tx, key, new).await?;
        Ok(Put::Stored)
    }

    async fn find(&self, name: NameKey) -> Result<Vec<RecordKey>, StoreError> {
        let find = self.0.statements.find.replace("$1", &bytes(name.to_bytes()));
        // In digits: how `bytea` is written is a setting.
        let find = format!("SELECT encode(key, 'hex') FROM ({find}) AS found");
        let found: Vec<(String,)> = ask_once(&self.0.pool, &find).await.map_err(failed)?;
        let found = found.iter().filter_map(|(key,)| hex::parse(key));
        Ok(found.map(RecordKey::from_bytes).collect())
    }

    async fn listen(&self, listener: &dyn RecordListener) -> Result<(), StoreError> {
        let pool = self.0.direct.as_ref().unwrap_or(&self.0.pool);
        let heard = self.0.listening.begin(pool, &self.0.pool, &self.0.channel).await;
        let heard = heard.map_err(StoreError::backend)?;
        listener.listening();
        Err(StoreError::backend(
            receive_until_lost(heard, |message| notification::dispatch(listener, message)).await,
        ))
    }
}

/// What stands before the name of a table.
fn prefix_of(schema: &str) -> String {
    if schema.is_empty() { String::new() } else { format!("\"{schema}\".") }
}

fn has_written(result: &PgQueryResult) -> bool {
    result.rows_affected() > 0
}

fn failed(error: sqlx::Error) -> StoreError {
    StoreError::backend(without_rows("PostgreSQL", error))
}

impl fmt::Debug for PostgresTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresTokens").field("schema", &self.0.schema).finish_non_exhaustive()
    }
}
