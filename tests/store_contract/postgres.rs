//! What an administrator may have set in PostgreSQL, and who may have been there before.

use futures_util::future::join_all;
use support::stores;
use tower_sessions_sqlx_store::{
    PostgresStore,
    sqlx::{
        self, Executor, PgPool,
        postgres::{PgConnectOptions, PgPoolOptions},
    },
};
use tower_token_refresh::{
    lock::{LockService, PostgresLock},
    token_store::{PostgresTokens, TokenStore},
};
use uuid::Uuid;

use crate::records::{ending, key, live, name, of, presenting, text};

/// Connections as those of `pool`, each with these settings.
async fn with_settings(pool: &PgPool, settings: &[(&str, &str)]) -> PgPool {
    let options: PgConnectOptions = (*pool.connect_options()).clone();
    let options = options.options(settings.iter().copied());
    PgPoolOptions::new().connect_with(options).await.expect("PostgreSQL answers")
}

async fn new_schema() -> (PgPool, String) {
    let pool = stores::postgres_schema().await;
    let schema = sqlx::query_scalar("SELECT current_schema()::text").fetch_one(&pool).await;
    (pool, schema.expect("a name"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: see tests/services/run"]
async fn how_bytes_are_written_is_a_setting() {
    for setting in [
        ("standard_conforming_strings", "off"),
        ("bytea_output", "escape"),
        ("default_transaction_isolation", "serializable"),
    ] {
        let pool = with_settings(&stores::postgres_schema().await, &[setting]).await;
        let tokens = PostgresTokens::new(pool.clone());
        tokens.migrate().await.expect("the tables are created");
        let (key, name) = (key(), name());
        tokens.create(key, &live(1, 1), &[name]).await.expect("created");
        assert_eq!(tokens.load(key).await.unwrap().record, Some(live(1, 1)), "{setting:?}");
        assert_eq!(tokens.find(name).await.expect("found"), [key], "{setting:?}");
        let mark = presenting(1, 2);
        tokens.swap(key, live(1, 1).version(), &mark).await.expect("swapped");

        let locks = PostgresLock::new(pool);
        locks.migrate().await.expect("the table is created");
        for nth in 0..40 {
            let guard = locks.acquire(&format!("key-{nth}")).await.expect("free");
            guard.release().await.unwrap_or_else(|error| panic!("{setting:?} {nth}: {error}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: see tests/services/run"]
async fn tables_in_another_schema_of_the_search_path_are_not_ours() {
    let ((first, theirs), (second, ours)) = (new_schema().await, new_schema().await);
    PostgresTokens::new(first).migrate().await.expect("the tables are created");
    let path = format!("{ours},{theirs}");
    let second = with_settings(&second, &[("search_path", &path)]).await;
    PostgresTokens::new(second.clone()).migrate().await.expect("the tables are created");
    let rows = stores::rows_in_postgres(&second, &[&format!("{ours}.token_records")]).await;
    assert_eq!(rows, 0);
}

/// An administrator has made the tables, and nobody else may make any.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: see tests/services/run"]
async fn whoever_may_make_no_tables_uses_those_that_are_there() {
    let (pool, schema) = new_schema().await;
    PostgresTokens::new(pool.clone()).migrate().await.expect("the tables are created");
    PostgresLock::new(pool.clone()).migrate().await.expect("the table is created");
    let user = format!("user_{}", Uuid::new_v4().simple());
    let make = format!(
        "CREATE ROLE {user} LOGIN; GRANT USAGE ON SCHEMA {schema} TO {user}; \
         GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {user}"
    );
    pool.execute(make.as_str()).await.expect("a user");
    let options = (*pool.connect_options()).clone().username(&user);
    let restricted = PgPoolOptions::new().connect_with(options).await.expect("logged in");
    let (tokens, locks) =
        (PostgresTokens::new(restricted.clone()), PostgresLock::new(restricted.clone()));
    tokens.migrate().await.expect("the tables are there");
    locks.migrate().await.expect("the table is there");
    tokens.create(key(), &live(1, 1), &[name()]).await.expect("created");
    assert!(locks.try_acquire("a key").await.expect("an answer").is_some());
}

/// As the docs show it: the sessions first, then the tokens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: see tests/services/run"]
async fn processes_that_start_together_make_one_schema() {
    let at = stores::postgres_schema().await;
    for connections in [1, 2, 1, 2, 1, 2] {
        let schema = format!("test_{}", Uuid::new_v4().simple());
        let start = async || {
            let pool = PgPoolOptions::new().max_connections(connections);
            let pool = pool.connect_with((*at.connect_options()).clone()).await;
            let pool = pool.expect("PostgreSQL answers");
            PostgresStore::new(pool.clone()).migrate().await.expect("the sessions' tables");
            let tokens = PostgresTokens::new(pool).with_schema(&schema).expect("a name");
            tokens.migrate().await
        };
        for made in join_all((0..5).map(|_| start())).await {
            made.expect("the tables are created");
        }
    }
}

/// PostgreSQL notifies of 8,000 bytes at the most.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: see tests/services/run"]
async fn an_ending_that_no_notification_can_hold_is_stored() {
    let tokens = stores::postgres_tokens().await;
    let mut long = text(1, 1);
    long["issuer"] = format!("https://id.example/{}", "x".repeat(7_900)).into();
    let key = key();
    tokens.create(key, &of(&long), &[]).await.expect("created");
    tokens.end(key, &ending("logout", 4_000_000_000), None).await.expect("ended");
    assert!(tokens.load(key).await.unwrap().record.unwrap().ending().is_some());
}

/// A user who has logged in and out for a month is found as fast as anybody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: see tests/services/run"]
async fn a_name_finds_no_login_that_has_ended() {
    let postgres = stores::postgres_tokens().await;
    let sqlite = stores::sqlite_tokens().await;
    for tokens in [&postgres as &dyn TokenStore, &sqlite] {
        let (name, alive, ended) = (name(), key(), key());
        for key in [alive, ended] {
            tokens.create(key, &live(1, 1), &[name]).await.expect("created");
        }
        tokens.end(ended, &ending("logout", 4_000_000_000), None).await.expect("ended");
        assert_eq!(tokens.find(name).await.expect("an answer"), [alive]);
    }
}
