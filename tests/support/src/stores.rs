//! The session stores of production, each test in a corner of its own.

use std::{
    future::{Ready, ready},
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
        Executor, PgPool, SqlitePool,
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions},
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
        .journal_mode(SqliteJournalMode::Wal);
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
