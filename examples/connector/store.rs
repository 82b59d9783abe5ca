//! What all processes share: the token store, and how tokens are refreshed.

use std::{error::Error, path::Path, time::Duration};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use tower_token_refresh::{
    ClientAuth, RefreshPolicy, TokenEndpoint, TokenRefresher, token_store::SqliteTokens,
    tower_sessions::MemoryStore,
};

/// Nobody logs in here by a session, so the session store stays empty.
pub async fn refresher(token_url: &str, database: &Path) -> Result<TokenRefresher, Box<dyn Error>> {
    let options = SqliteConnectOptions::new()
        .filename(database)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    let tokens = SqliteTokens::new(SqlitePoolOptions::new().connect_with(options).await?);
    tokens.migrate().await?;
    let endpoint = TokenEndpoint::new(token_url, ClientAuth::basic("web", "secret"));
    // Otherwise one process would refresh in good time, and nobody would ever meet an expiry. Leave
    // it on in your application.
    let policy = RefreshPolicy::default().refresh_ahead(Duration::ZERO);
    Ok(TokenRefresher::builder(endpoint, MemoryStore::default())
        .token_store(tokens)
        .policy(policy)
        .build()?)
}
