//! Redis with a replica and three sentinels, whose master dies.

use std::time::Duration;

use tower_token_refresh::Redis;

use crate::{
    scene::Scene,
    servers::{self, Folder, Server, free_port, now, redis_cli},
};

fn sentinel(folder: &Folder, master: u16, nth: usize) -> Server {
    let (port, file) = (free_port(), folder.0.join(format!("sentinel-{nth}.conf")));
    let settings = format!(
        "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor shop 127.0.0.1 {master} 2\n\
         sentinel down-after-milliseconds shop 1000\nsentinel failover-timeout shop 5000\n",
        folder.0.display()
    );
    std::fs::write(&file, settings).expect("written");
    Server::start(&["redis-server", file.to_str().expect("a name"), "--sentinel"], port)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server: see tests/services/run"]
async fn the_master_dies_and_a_replica_takes_its_place() {
    let folder = Folder::new();
    let mut master = servers::redis(&folder.0, &[]);
    let of_master = master.port.to_string();
    let replica = servers::redis(&folder.0, &["--replicaof", "127.0.0.1", &of_master]);
    let sentinels: Vec<_> = (0..3).map(|nth| sentinel(&folder, master.port, nth)).collect();
    // Until they know the replica and each other.
    for sentinel in &sentinels {
        let known = || redis_cli(sentinel.port, &["SENTINEL", "MASTER", "shop"]);
        let knows_all = || {
            let known = known();
            let value = |field: &str| {
                known
                    .lines()
                    .skip_while(|line| *line != field)
                    .nth(1)
                    .unwrap_or_default()
                    .to_owned()
            };
            value("num-slaves") == "1" && value("num-other-sentinels") == "2"
        };
        let patience = now() + Duration::from_secs(30);
        while !knows_all() {
            assert!(now() < patience, "{}", known());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    // The replica has what the master has, from now on.
    while !redis_cli(replica.port, &["INFO", "replication"]).contains("master_link_status:up") {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let urls: Vec<_> = sentinels.iter().map(servers::url_of).collect();
    let urls: Vec<_> = urls.iter().map(String::as_str).collect();
    let mut processes = Vec::new();
    for _ in 0..2 {
        let redis = Redis::connect_sentinel(&urls, "shop", "redis://any").await.expect("a master");
        processes.push(redis.tokens());
    }
    let scene = Scene::of(processes).await;
    // Asynchronous: what is written now must reach the replica first.
    tokio::time::sleep(Duration::from_millis(300)).await;

    let tally = scene.suffer("the master dies, Sentinel fails over", async {
        master.kill();
        tokio::time::sleep(Duration::from_secs(5)).await;
    });

    tally.await.assert_nobody_lost();
    let role = redis_cli(replica.port, &["ROLE"]);
    assert!(role.starts_with("master"), "{role}");
}
