//! A Redis Cluster of three masters, whose slots move.

use std::process::Command;
use std::time::Duration;

use tower_token_refresh::Redis;

use crate::{
    scene::Scene,
    servers::{self, Folder, url_of},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server: see tests/services/run"]
async fn slots_move_from_one_node_to_another() {
    let folder = Folder::new();
    let nodes: Vec<_> = (0..3)
        .map(|nth| {
            let file = format!("nodes-{nth}.conf");
            servers::redis(&folder.0, &["--cluster-enabled", "yes", "--cluster-config-file", &file])
        })
        .collect();
    let addresses: Vec<_> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
    cluster(&[&["create"], &*refs(&addresses), &["--cluster-yes"]].concat());
    let urls: Vec<_> = nodes.iter().map(url_of).collect();
    let until_ready = async {
        loop {
            match Redis::connect_cluster(&refs(&urls)).await {
                Ok(redis) => return redis,
                Err(_not_yet) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    };
    let first =
        tokio::time::timeout(Duration::from_secs(30), until_ready).await.expect("a cluster");
    let second = Redis::connect_cluster(&refs(&urls)).await.expect("the same");
    // The nodes learn of each other's slots after a while.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let scene = Scene::of(vec![first.tokens(), second.tokens()]).await;

    let id = |port: u16| servers::redis_cli(port, &["CLUSTER", "MYID"]).trim().to_owned();
    let (from, to, at) = (id(nodes[0].port), id(nodes[1].port), addresses[0].clone());
    let tally = scene.suffer("2,000 slots of a cluster move", async move {
        let moved = tokio::task::spawn_blocking(move || {
            cluster(&[
                "reshard",
                &at,
                "--cluster-from",
                &from,
                "--cluster-to",
                &to,
                "--cluster-slots",
                "2000",
                "--cluster-yes",
            ]);
        });
        moved.await.expect("no panic");
    });
    tally.await.assert_nobody_lost();
}

fn refs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

fn cluster(arguments: &[&str]) {
    let output = Command::new("redis-cli").arg("--cluster").args(arguments).output();
    let output = output.expect("redis-cli runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
