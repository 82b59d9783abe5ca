//! Where the sessions are kept, and the token records with them.

use std::{str::FromStr, time::Duration};

use tower_sessions_redis_store::{
    RedisStore,
    fred::{
        prelude::{ClientLike, Config, Pool, ReconnectPolicy},
        types::Builder,
    },
};
use tower_sessions_sqlx_store::{
    PostgresStore, SqliteStore,
    sqlx::{
        postgres::PgPoolOptions,
        sqlite::{SqliteConnectOptions, SqlitePool},
    },
};
use tower_token_refresh::{
    TokenEndpoint, TokenRefresher, TokenRefresherBuilder,
    tower_sessions::{ExpiredDeletion, MemoryStore, SessionStore},
};

use super::settings::{Sessions, Settings, without_secrets};

/// Connections to Redis: each carries many commands at once.
const REDIS_CONNECTIONS: usize = 4;
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
            "whoever can read the session store can read the tokens in it; set TOKEN_KEYS to seal them"
        );
    }
    match sessions {
        Sessions::Memory => {
            tracing::warn!("sessions are kept in memory; a restart logs everybody out");
            Ok(on(MemoryStore::default(), endpoint, settings))
        }
        Sessions::Redis(url) => {
            let broken =
                |error| format!("REDIS_URL {:?}: cannot be used: {error}", without_secrets(url));
            let pool = redis(url).await.map_err(broken)?;
            Ok(on(RedisStore::new(pool), endpoint, settings))
        }
        Sessions::Postgres(url) => {
            let broken =
                |error| format!("DATABASE_URL {:?}: cannot be used: {error}", without_secrets(url));
            let pool = PgPoolOptions::new().connect(url).await.map_err(broken)?;
            let store = PostgresStore::new(pool);
            store.migrate().await.map_err(broken)?;
            clean_up(store.clone());
            Ok(on(store, endpoint, settings))
        }
        Sessions::Sqlite(url) => {
            let broken =
                |error| format!("DATABASE_URL {:?}: cannot be used: {error}", without_secrets(url));
            let options =
                SqliteConnectOptions::from_str(url).map_err(broken)?.create_if_missing(true);
            let pool = SqlitePool::connect_with(options).await.map_err(broken)?;
            let store = SqliteStore::new(pool);
            store.migrate().await.map_err(broken)?;
            clean_up(store.clone());
            Ok(on(store, endpoint, settings))
        }
    }
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
    refresher
}

async fn redis(url: &str) -> Result<Pool, tower_sessions_redis_store::fred::error::Error> {
    let mut builder = Builder::from_config(Config::from_url(url)?);
    // Without an end: a Redis that comes back after an hour is used again.
    builder.set_policy(ReconnectPolicy::new_exponential(0, 100, 5_000, 2));
    let pool = builder.build_pool(REDIS_CONNECTIONS)?;
    pool.init().await?;
    Ok(pool)
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
