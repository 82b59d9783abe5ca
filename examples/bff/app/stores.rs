//! Where the sessions are kept, and the token records.

use std::{error::Error, str::FromStr, time::Duration};

use tower_sessions_sqlx_store::{
    PostgresStore, SqliteStore,
    sqlx::{
        postgres::PgPoolOptions,
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool},
    },
};
use tower_token_refresh::{
    Redis, TokenEndpoint, TokenRefresher, TokenRefresherBuilder,
    token_store::{PostgresTokens, SqliteTokens},
    tower_sessions::{ExpiredDeletion, MemoryStore, SessionStore},
};

use super::settings::{Sessions, Settings, masked_url};

/// How often expired sessions are deleted from an SQL store. Redis does that itself.
const CLEANING: Duration = Duration::from_secs(600);

/// Opens the store and begins a refresher on it. An error is one line without secrets.
pub async fn open(
    settings: &Settings,
    endpoint: TokenEndpoint,
) -> Result<TokenRefresherBuilder, String> {
    let sessions = &settings.sessions;
    if settings.token_keys.is_none() && !matches!(sessions, Sessions::Memory) {
        tracing::warn!(
            "whoever can read the store can read the tokens in it; set TOKEN_KEYS to seal them"
        );
    }
    match sessions {
        Sessions::Memory => {
            tracing::warn!("sessions are kept in memory; a restart logs everybody out");
            Ok(on(MemoryStore::default(), endpoint, settings))
        }
        Sessions::Redis(url) => {
            let redis = Redis::connect(url).await;
            let redis = redis.map_err(|error| unusable("REDIS_URL", url, &error))?;
            let refresher = on(redis.sessions(), endpoint, settings);
            Ok(refresher.token_store(redis.tokens()))
        }
        Sessions::Postgres(url) => {
            let opened = postgres(url).await;
            let (store, tokens) = opened.map_err(|error| unusable("DATABASE_URL", url, &*error))?;
            clean_up(store.clone());
            Ok(on(store, endpoint, settings).token_store(tokens))
        }
        Sessions::Sqlite(url) => {
            let opened = sqlite(url).await;
            let (store, tokens) = opened.map_err(|error| unusable("DATABASE_URL", url, &*error))?;
            clean_up(store.clone());
            Ok(on(store, endpoint, settings).token_store(tokens))
        }
    }
}

async fn postgres(url: &str) -> Result<(PostgresStore, PostgresTokens), Box<dyn Error>> {
    let pool = PgPoolOptions::new().connect(url).await?;
    let (store, tokens) = (PostgresStore::new(pool.clone()), PostgresTokens::new(pool));
    store.migrate().await?;
    tokens.migrate().await?;
    Ok((store, tokens))
}

async fn sqlite(url: &str) -> Result<(SqliteStore, SqliteTokens), Box<dyn Error>> {
    // With a log of its own for writes, whoever reads does not wait for them.
    let options = SqliteConnectOptions::from_str(url)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    let pool = SqlitePool::connect_with(options).await?;
    let (store, tokens) = (SqliteStore::new(pool.clone()), SqliteTokens::new(pool));
    store.migrate().await?;
    tokens.migrate().await?;
    Ok((store, tokens))
}

fn unusable(variable: &str, url: &str, error: &dyn Error) -> String {
    let url = masked_url(url).map(|url| format!(" {url:?}")).unwrap_or_default();
    let mut line = format!("{variable}{url}: cannot be used: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        line += &format!(": {error}");
        cause = error.source();
    }
    line
}

fn on(
    store: impl SessionStore,
    endpoint: TokenEndpoint,
    settings: &Settings,
) -> TokenRefresherBuilder {
    let mut refresher = TokenRefresher::builder(endpoint, store);
    if let Some(keys) = &settings.token_keys {
        refresher = refresher.seal_with(keys.clone());
    }
    if let Some(key) = &settings.index_key {
        refresher = refresher.back_channel_logout(key);
    }
    if let Some(key) = &settings.audit_key {
        refresher = refresher.audit_key(key);
    }
    refresher.policy(settings.refresh.policy())
}

/// Runs until the process ends.
fn clean_up(store: impl ExpiredDeletion + 'static) {
    tokio::spawn(async move {
        let mut due = tokio::time::interval(CLEANING);
        loop {
            due.tick().await;
            if let Err(error) = store.delete_expired().await {
                tracing::warn!(%error, "expired sessions could not be deleted");
            }
        }
    });
}
