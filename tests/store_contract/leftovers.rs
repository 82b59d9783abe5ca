//! Users who never come back leave nothing behind: records and names go when their time is over.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use support::stores;
use tower_token_refresh::{
    Clock, Redis,
    token_store::{PostgresTokens, SqliteTokens, TokenRecord, TokenStore},
};
use uuid::Uuid;

use crate::records::{key, live, name, of, text};

const GRANTS: usize = 10_000;
/// The record and its two names.
const ROWS_OF_ONE: usize = 3;
const TABLES: [&str; 2] = ["token_records", "token_record_names"];

/// A record that is dropped two seconds from now: stores keep one a minute longer than they must.
fn short_lived() -> TokenRecord {
    let drop_at = Clock::system().now() + Duration::from_secs(2) - Duration::from_secs(60);
    let since_1970 = drop_at.duration_since(std::time::UNIX_EPOCH).expect("it is later");
    let mut text = text(1, 1);
    text["keep_until"] = Value::from(u64::try_from(since_1970.as_millis()).expect("a time"));
    of(&text)
}

/// `next_process` begins when the time of all the records is over; it has one user.
async fn ten_thousand_grants_leave_nothing_behind(
    store: impl TokenStore,
    next_process: impl TokenStore,
    at_once: usize,
    rows: impl AsyncFn() -> usize,
) {
    for _ in 0..GRANTS / at_once {
        let create = async || {
            let (key, names) = (key(), [name(), name()]);
            store.create(key, &short_lived(), &names).await.expect("created");
            (key, names[0])
        };
        join_all((0..at_once).map(|_| create())).await;
    }
    let (key, names) = (key(), [name(), name()]);
    store.create(key, &short_lived(), &names).await.expect("created");
    assert!(store.load(key).await.expect("an answer").record.is_some());
    assert!(rows().await >= ROWS_OF_ONE);

    tokio::time::sleep(Duration::from_secs(3)).await;

    assert!(store.load(key).await.expect("an answer").record.is_none());
    assert!(store.find(names[0]).await.expect("an answer").is_empty());
    next_process.create(crate::records::key(), &live(1, 1), &[name(), name()]).await.expect("new");
    let gone = async {
        while rows().await > ROWS_OF_ONE {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(60), gone).await.is_ok(), "{}", rows().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: see tests/services/run"]
async fn in_redis() {
    let redis = Redis::connect(&stores::redis_url()).await.expect("Redis answers");
    let prefix = Uuid::new_v4().simple().to_string();
    let store = || redis.clone().with_prefix(&prefix).tokens();
    let rows = async || stores::ask_redis(&["KEYS", &format!("{prefix}:*")]).len();
    ten_thousand_grants_leave_nothing_behind(store(), store(), 50, rows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: see tests/services/run"]
async fn in_postgres() {
    let pool = stores::postgres_schema().await;
    let store = || PostgresTokens::new(pool.clone());
    store().migrate().await.expect("the tables are created");
    let rows = async || stores::rows_in_postgres(&pool, &TABLES).await;
    ten_thousand_grants_leave_nothing_behind(store(), store(), 50, rows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_sqlite() {
    let pool = stores::sqlite_file().await;
    let store = || SqliteTokens::new(pool.clone());
    store().migrate().await.expect("the tables are created");
    // SQLite takes one write at a time.
    let rows = async || stores::rows_in_sqlite(&pool, &TABLES).await;
    ten_thousand_grants_leave_nothing_behind(store(), store(), 1, rows).await;
}

/// More logins of one user than Redis lists.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: see tests/services/run"]
async fn in_redis_the_newest_login_is_listed() {
    let store = stores::redis_tokens().await;
    let name = name();
    for _ in 0..1_000 {
        store.create(key(), &live(1, 1), &[name]).await.expect("created");
    }
    // It ends before all the others.
    let mut short = text(1, 1);
    short["keep_until"] = 4_000_000_000_000_u64.into();
    let newest = key();
    store.create(newest, &of(&short), &[name]).await.expect("created");
    let found = store.find(name).await.expect("an answer");
    assert!(found.contains(&newest));
    assert_eq!(found.len(), 1_000);
}
