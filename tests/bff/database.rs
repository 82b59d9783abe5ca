//! A session store that outlives the process, and that a test can look into.

use std::{fs, path::PathBuf};

use tower_sessions_sqlx_store::sqlx::{
    query, query_scalar,
    sqlite::{SqliteConnectOptions, SqlitePool},
};
use uuid::Uuid;

/// A file, which goes with its handle.
pub(crate) struct Database(PathBuf);

impl Database {
    pub(crate) fn new() -> Self {
        Self(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.db", Uuid::new_v4())))
    }

    /// What `DATABASE_URL` is.
    pub(crate) fn url(&self) -> String {
        format!("sqlite:{}", self.0.display())
    }

    /// All records of sessions and of tokens, as they lie there.
    pub(crate) async fn records(&self) -> Vec<Vec<u8>> {
        let all = "select data from tower_sessions \
                   union all select cast(record as blob) from token_records";
        query_scalar(all).fetch_all(&self.open().await).await.expect("the records")
    }

    /// From now on the application finds no place for its sessions.
    pub(crate) async fn fail(&self) {
        query("drop table tower_sessions").execute(&self.open().await).await.expect("dropped");
    }

    async fn open(&self) -> SqlitePool {
        let options = SqliteConnectOptions::new().filename(&self.0);
        SqlitePool::connect_with(options).await.expect("the database opens")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // What stays lies in cargo's folder for what tests leave behind.
        let _ = fs::remove_file(&self.0);
    }
}
