//! The session stores of production, each test in a corner of its own.

use std::{
    future::{Ready, ready},
    process::Command,
    sync::Arc,
};

use async_trait::async_trait;
use tower_sessions::{
    MemoryStore, SessionStore,
    session::{Id, Record},
    session_store,
};
use tower_sessions_redis_store::{
    RedisStore,
    fred::prelude::{ClientLike, Config, Pool},
};
use tower_sessions_sqlx_store::{
    PostgresStore,
    sqlx::{
        self, Executor, PgPool, SqlitePool,
        postgres::{PgConnectOptions, PgPoolOptions},
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
    },
};
use tower_token_refresh::{
    Redis,
    token_store::{PostgresTokens, RedisTokens, SqliteTokens},
    tower_sessions,
};
use uuid::Uuid;

use crate::providers::service;

/// Any store, so that one test body runs on all.
#[derive(Clone, Debug)]
pub struct AnyStore(Arc<dyn SessionStore>);

/// Ready at once; a future all the same, as the others are.
pub fn memory() -> Ready<AnyStore> {
    ready(AnyStore(Arc::new(MemoryStore::default())))
}

pub async fn sqlite() -> AnyStore {
    AnyStore(Arc::new(crate::sqlite().await))
}

pub async fn redis() -> AnyStore {
    let config = Config::from_url(&redis_url()).expect("a Redis URL");
    let pool = Pool::new(config, None, None, None, 4).expect("a pool");
    pool.init().await.expect("Redis answers");
    AnyStore(Arc::new(RedisStore::new(pool)))
}

/// A database in a file of its own: several processes would share that.
pub async fn sqlite_file() -> SqlitePool {
    let file = std::env::temp_dir().join(format!("tokens-{}.db", Uuid::new_v4().simple()));
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal);
    SqlitePoolOptions::new().connect_with(options).await.expect("a database")
}

pub async fn execute_in_sqlite(pool: &SqlitePool, statement: &str) {
    pool.execute(statement).await.expect("executed");
}

/// Every write fails, as on a disk that is full, or none.
pub async fn refuse_writes_in_sqlite(pool: &SqlitePool, refuse: bool) {
    // The setting belongs to a connection: to every one of the pool.
    let mut connections = Vec::new();
    while connections.len() < pool.options().get_max_connections() as usize {
        connections.push(pool.acquire().await.expect("a connection"));
    }
    for connection in &mut connections {
        let pragma = format!("PRAGMA query_only = {}", i32::from(refuse));
        (&mut **connection).execute(pragma.as_str()).await.expect("set");
    }
}

pub async fn sqlite_tokens() -> SqliteTokens {
    let tokens = SqliteTokens::new(sqlite_file().await);
    tokens.migrate().await.expect("the tables are created");
    tokens
}

pub fn redis_url() -> String {
    service("TEST_REDIS_URL")
}

pub async fn postgres_pool() -> PgPool {
    PgPool::connect(&service("TEST_POSTGRES_URL")).await.expect("PostgreSQL answers")
}

/// A pool whose tables lie in a schema of their own.
pub async fn postgres_schema() -> PgPool {
    let url = service("TEST_POSTGRES_URL");
    let schema = format!("test_{}", Uuid::new_v4().simple());
    let pool = PgPool::connect(&url).await.expect("PostgreSQL answers");
    pool.execute(format!("CREATE SCHEMA {schema}").as_str()).await.expect("created");
    let options: PgConnectOptions = url.parse().expect("a URL");
    let pool = PgPoolOptions::new().connect_with(options.options([("search_path", schema)]));
    pool.await.expect("PostgreSQL answers")
}

pub async fn execute_in_postgres(pool: &PgPool, statement: &str) {
    pool.execute(statement).await.expect("executed");
}

/// How many rows these tables have together.
pub async fn rows_in_postgres(pool: &PgPool, tables: &[&str]) -> usize {
    let mut rows = 0;
    for table in tables {
        let count = format!("SELECT count(*) FROM {table}");
        rows += sqlx::query_scalar::<_, i64>(&count).fetch_one(pool).await.expect("counted");
    }
    usize::try_from(rows).expect("a count")
}

/// The same in SQLite.
pub async fn rows_in_sqlite(pool: &SqlitePool, tables: &[&str]) -> usize {
    let mut rows = 0;
    for table in tables {
        let count = format!("SELECT count(*) FROM {table}");
        rows += sqlx::query_scalar::<_, i64>(&count).fetch_one(pool).await.expect("counted");
    }
    usize::try_from(rows).expect("a count")
}

/// Runs `redis-cli` and gives what it prints.
pub fn redis_cli(url: &str, arguments: &[&str]) -> String {
    let output = Command::new("redis-cli").args(["-u", url]).args(arguments).output();
    String::from_utf8(output.expect("redis-cli runs").stdout).expect("UTF-8")
}

/// Sends a command to the Redis of the tests; gives the lines of its answer.
pub fn ask_redis(arguments: &[&str]) -> Vec<String> {
    let answer = redis_cli(&redis_url(), arguments);
    answer.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

pub async fn redis_tokens() -> RedisTokens {
    let redis = Redis::connect(&redis_url()).await.expect("Redis answers");
    redis.with_prefix(&Uuid::new_v4().simple().to_string()).tokens()
}

/// Two processes, each with a connection of its own.
pub async fn two_redis_tokens() -> [RedisTokens; 2] {
    let prefix = Uuid::new_v4().simple().to_string();
    let one = Redis::connect(&redis_url()).await.expect("Redis answers");
    let other = Redis::connect(&redis_url()).await.expect("Redis answers");
    [one.with_prefix(&prefix).tokens(), other.with_prefix(&prefix).tokens()]
}

pub async fn postgres_tokens() -> PostgresTokens {
    let pool = postgres_pool().await;
    let schema = format!("test_{}", Uuid::new_v4().simple());
    let tokens = PostgresTokens::new(pool).with_schema(&schema).expect("a schema's name");
    tokens.migrate().await.expect("the schema is created");
    tokens
}

pub async fn postgres() -> AnyStore {
    let pool = postgres_pool().await;
    let schema = format!("test_{}", Uuid::new_v4().simple());
    let store = PostgresStore::new(pool).with_schema_name(schema).expect("a schema's name");
    store.migrate().await.expect("the schema is created");
    AnyStore(Arc::new(store))
}

#[async_trait]
impl SessionStore for AnyStore {
    async fn create(&self, record: &mut Record) -> session_store::Result<()> {
        self.0.create(record).await
    }

    async fn save(&self, record: &Record) -> session_store::Result<()> {
        self.0.save(record).await
    }

    async fn load(&self, id: &Id) -> session_store::Result<Option<Record>> {
        self.0.load(id).await
    }

    async fn delete(&self, id: &Id) -> session_store::Result<()> {
        self.0.delete(id).await
    }
}
