//! One Redis server.

use std::time::Duration;

use tower_token_refresh::{Redis, token_store::RedisTokens};

use crate::{
    proxy::Proxy,
    scene::Scene,
    servers::{self, Folder, url_of},
};

async fn processes(url: &str) -> Vec<RedisTokens> {
    let mut processes = Vec::new();
    for _ in 0..2 {
        processes.push(Redis::connect(url).await.expect("Redis answers").tokens());
    }
    processes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server: see tests/services/run"]
async fn killed_and_started_again() {
    let folder = Folder::new();
    let mut redis = servers::redis(&folder.0, &[]);
    let scene = Scene::of(processes(&url_of(&redis)).await).await;
    let tally = scene.suffer("Redis killed for 5 s", async {
        redis.kill();
        tokio::time::sleep(Duration::from_secs(5)).await;
        redis.restart();
    });
    tally.await.assert_nobody_lost();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server: see tests/services/run"]
async fn asleep_for_five_seconds() {
    let folder = Folder::new();
    let redis = servers::redis(&folder.0, &[]);
    let scene = Scene::of(processes(&url_of(&redis)).await).await;
    let tally = scene.suffer("Redis asleep for 5 s", async {
        redis.sleep();
        tokio::time::sleep(Duration::from_secs(5)).await;
        redis.wake();
    });
    tally.await.assert_nobody_lost();
}

/// Its logins end as its records do: 401, and no error without end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server: see tests/services/run"]
async fn started_again_empty() {
    let folder = Folder::new();
    let redis = servers::redis(&folder.0, &[]);
    let scene = Scene::of(processes(&url_of(&redis)).await).await;
    let tally = scene.suffer("Redis comes back empty", async {
        servers::redis_cli(redis.port, &["FLUSHALL"]);
    });
    let tally = tally.await;
    assert_eq!(tally.lost.len(), 10, "{tally:?}");
    assert!(scene.can_log_in().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server: see tests/services/run"]
async fn cut_off() {
    let folder = Folder::new();
    let redis = servers::redis(&folder.0, &[]);
    let proxy = Proxy::to(redis.port).await;
    let scene = Scene::of(processes(&format!("redis://127.0.0.1:{}", proxy.port)).await).await;
    let tally = scene.suffer("Redis cut off for 5 s, without a word", async {
        proxy.swallow();
        tokio::time::sleep(Duration::from_secs(5)).await;
        proxy.restore();
    });
    tally.await.assert_nobody_lost();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server: see tests/services/run"]
async fn half_a_second_away() {
    let folder = Folder::new();
    let redis = servers::redis(&folder.0, &[]);
    let proxy = Proxy::to(redis.port).await;
    let scene = Scene::of(processes(&format!("redis://127.0.0.1:{}", proxy.port)).await).await;
    let tally = scene.suffer("Redis answers after 500 ms, for 10 s", async {
        proxy.delay(Duration::from_millis(500));
        tokio::time::sleep(Duration::from_secs(10)).await;
        proxy.delay(Duration::ZERO);
    });
    tally.await.assert_nobody_lost();
}
