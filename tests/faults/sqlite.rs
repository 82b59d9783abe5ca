//! SQLite that takes no writes, as on a disk that is full.

use std::time::Duration;

use support::stores;
use tower_token_refresh::token_store::SqliteTokens;

use crate::scene::Scene;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_takes_no_writes_for_five_seconds() {
    let pool = stores::sqlite_file().await;
    let tokens = || SqliteTokens::new(pool.clone());
    tokens().migrate().await.expect("the tables are created");
    let scene = Scene::of(vec![tokens(), tokens()]).await;
    let tally = scene.suffer("SQLite takes no writes for 5 s", async {
        stores::refuse_writes_in_sqlite(&pool, true).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        stores::refuse_writes_in_sqlite(&pool, false).await;
    });
    tally.await.assert_nobody_lost();
}
