//! SQLite whose disk is full.

use std::time::Duration;

use support::stores;
use tower_token_refresh::token_store::SqliteTokens;

use crate::scene::Scene;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_disk_is_full_for_five_seconds() {
    let pool = stores::sqlite_file().await;
    let tokens = || SqliteTokens::new(pool.clone());
    tokens().migrate().await.expect("the tables are created");
    let scene = Scene::of(vec![tokens(), tokens()]).await;
    let tally = scene.suffer("SQLite's disk is full for 5 s", async {
        // The file may not grow, and each update needs a page that is not there.
        stores::fill_sqlite(&pool, true).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        stores::fill_sqlite(&pool, false).await;
    });
    tally.await.assert_nobody_lost();
}
