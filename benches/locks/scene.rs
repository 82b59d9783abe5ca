//! The servers, and the locks at them, as every process of the bench sees them.

use std::{env, fmt, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use futures_util::StreamExt;
use redis::aio::MultiplexedConnection;
use sqlx::{
    PgPool, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode},
};
use tower_token_refresh::{
    Redis,
    lock::{LocalLock, LockGuard, LockService, PostgresLock, RedisLock, SqliteLock},
};
use uuid::Uuid;

const CHILD: &str = "be-another-process";
const PATIENCE: Duration = Duration::from_secs(60);

/// What all processes of one run share.
pub struct Scene {
    redis_url: String,
    postgres_url: String,
    pub prefix: String,
    is_child: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Local,
    Redis,
    Postgres,
    Sqlite,
    /// What many write by hand: `SET NX PX` every 10 ms until it works.
    Polling,
    /// The least that tells a waiter: `SET NX`, and a message when it is free.
    Told,
}

/// A lock of one kind in this process.
#[derive(Clone)]
pub enum Locks {
    Service(Arc<dyn LockService>),
    Polling(MultiplexedConnection),
    Told(Arc<redis::Client>, MultiplexedConnection),
}

pub enum Held {
    Guard(LockGuard),
    Polled(MultiplexedConnection, String),
    Told(MultiplexedConnection, String),
}

impl Scene {
    /// Ends the program where a server is missing: half a bench looks like a whole one.
    pub fn of_environment() -> Self {
        let prefix = format!("bench-{}", Uuid::new_v4().simple());
        Self::new(prefix, false)
    }

    /// What [`child_arguments`](Self::child_arguments) say.
    pub fn of_a_child(arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut arguments = arguments.skip_while(|argument| argument != CHILD).skip(1);
        arguments.next().map(|prefix| Self::new(prefix, true))
    }

    pub fn child_arguments(&self) -> [&str; 2] {
        [CHILD, &self.prefix]
    }

    fn new(prefix: String, is_child: bool) -> Self {
        let url = |variable: &str| {
            env::var(variable).unwrap_or_else(|_| {
                eprintln!(
                    "{variable} is not set: tests/services/run redis postgres -- cargo bench \
                     --bench locks"
                );
                std::process::exit(1)
            })
        };
        let (redis_url, postgres_url) = (url("TEST_REDIS_URL"), url("TEST_POSTGRES_URL"));
        Self { redis_url, postgres_url, prefix, is_child }
    }

    /// A connection of its own.
    pub async fn redis(&self) -> Redis {
        Redis::connect(&self.redis_url).await.expect("Redis answers").with_prefix(&self.prefix)
    }

    pub fn redis_client(&self) -> redis::Client {
        redis::Client::open(self.redis_url.as_str()).expect("a Redis URL")
    }

    /// Redis without this crate.
    pub async fn bare_redis(&self) -> MultiplexedConnection {
        self.redis_client().get_multiplexed_async_connection().await.expect("Redis answers")
    }

    pub async fn postgres(&self) -> PgPool {
        PgPool::connect(&self.postgres_url).await.expect("PostgreSQL answers")
    }

    pub async fn postgres_lock(&self) -> PostgresLock {
        let lock = PostgresLock::new(self.postgres().await);
        lock.migrate().await.expect("the table is created");
        lock
    }

    async fn sqlite_lock(&self) -> SqliteLock {
        let options = SqliteConnectOptions::new()
            .filename(self.sqlite_file())
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal);
        let lock = SqliteLock::new(SqlitePool::connect_with(options).await.expect("a database"));
        lock.migrate().await.expect("the table is created");
        lock
    }

    pub async fn locks(&self, kind: Kind) -> Locks {
        Locks::Service(match kind {
            Kind::Local => Arc::new(LocalLock::new()),
            Kind::Redis => Arc::new(RedisLock::new(&self.redis().await)),
            Kind::Postgres => Arc::new(self.postgres_lock().await),
            Kind::Sqlite => Arc::new(self.sqlite_lock().await),
            Kind::Polling => return Locks::Polling(self.bare_redis().await),
            Kind::Told => {
                return Locks::Told(Arc::new(self.redis_client()), self.bare_redis().await);
            }
        })
    }

    fn sqlite_file(&self) -> PathBuf {
        env::temp_dir().join(format!("{}.db", self.prefix))
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if !self.is_child {
            for ending in ["db", "db-wal", "db-shm"] {
                // It may never have been made.
                let _ = std::fs::remove_file(self.sqlite_file().with_extension(ending));
            }
        }
    }
}

/// A key that nobody else uses, as long as one of a refresh.
pub fn key() -> String {
    format!("refresh-{}", Uuid::new_v4().simple())
}

impl Locks {
    pub async fn acquire(&self, key: &str) -> Held {
        match self {
            Self::Service(service) => {
                Held::Guard(service.acquire_within(key, PATIENCE).await.expect("its turn comes"))
            }
            Self::Polling(connection) => {
                let mut connection = connection.clone();
                while !set_if_free(&mut connection, key).await {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Held::Polled(connection, key.to_owned())
            }
            Self::Told(client, connection) => {
                let mut connection = connection.clone();
                if !set_if_free(&mut connection, key).await {
                    let mut heard = client.get_async_pubsub().await.expect("Redis answers");
                    heard.subscribe(key).await.expect("Redis answers");
                    heard.on_message().next().await.expect("it is told");
                    assert!(set_if_free(&mut connection, key).await, "nobody else wants it");
                }
                Held::Told(connection, key.to_owned())
            }
        }
    }
}

impl Held {
    pub async fn release(self) {
        match self {
            Self::Guard(guard) => guard.release().await.expect("it was held"),
            Self::Polled(mut connection, key) => delete(&mut connection, &key).await,
            Self::Told(mut connection, key) => {
                let mut both = redis::pipe();
                both.cmd("DEL").arg(&key).cmd("PUBLISH").arg(&key).arg("free");
                let answers = both.query_async::<(i64, i64)>(&mut connection).await;
                answers.expect("Redis answers");
            }
        }
    }
}

pub async fn set_if_free(connection: &mut MultiplexedConnection, key: &str) -> bool {
    let mut set = redis::cmd("SET");
    set.arg(key).arg("owner").arg("NX").arg("PX").arg(10_000);
    let answer: Option<String> = set.query_async(connection).await.expect("Redis answers");
    answer.is_some()
}

pub async fn delete(connection: &mut MultiplexedConnection, key: &str) {
    redis::cmd("DEL").arg(key).query_async::<i64>(connection).await.expect("Redis answers");
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Local => "LocalLock",
            Self::Redis => "RedisLock",
            Self::Postgres => "PostgresLock",
            Self::Sqlite => "SqliteLock",
            Self::Polling => "polling",
            Self::Told => "told",
        })
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::Local, Self::Redis, Self::Postgres, Self::Sqlite, Self::Polling, Self::Told]
            .into_iter()
            .find(|kind| kind.to_string() == name)
            .ok_or_else(|| format!("no lock is named {name}"))
    }
}
