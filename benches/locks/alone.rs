//! To acquire and release a key that nobody else wants, beside the bare statements of a lock.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use sqlx::{Executor, PgPool};

use crate::{
    common::Samples,
    scene::{Kind, Locks, Scene, delete, key, set_if_free},
    times::{micros_since, monotonic, p99},
};

const ROUNDS: usize = 100;
const IN_A_ROUND: usize = 10;

/// Who is measured, and the bare statements that it is held against.
const WAYS: [(&str, Option<usize>); 6] = [
    ("bare Redis: SET NX PX, then DEL", None),
    ("bare PostgreSQL: two updates", None),
    ("LocalLock", None),
    ("RedisLock", Some(0)),
    ("PostgresLock", Some(1)),
    ("SqliteLock", None),
];

enum Way {
    Redis(MultiplexedConnection),
    Postgres(PgPool),
    Locks(Locks),
}

pub async fn measure(scene: &Scene) {
    let ways = [
        Way::Redis(scene.bare_redis().await),
        Way::Postgres(pool_with_a_row(scene).await),
        Way::Locks(scene.locks(Kind::Local).await),
        Way::Locks(scene.locks(Kind::Redis).await),
        Way::Locks(scene.locks(Kind::Postgres).await),
        Way::Locks(scene.locks(Kind::Sqlite).await),
    ];
    let mut samples = vec![Samples::default(); WAYS.len()];
    let mut rounds = samples.clone();
    // The first round warms up.
    for round in 0..=ROUNDS {
        for turn in 0..WAYS.len() {
            let way = (round + turn) % WAYS.len();
            let mut times = Vec::new();
            for _ in 0..IN_A_ROUND {
                let (started, key) = (monotonic(), key());
                ways[way].run(&key).await;
                times.push(micros_since(started));
            }
            if round > 0 {
                rounds[way].0.push(Samples(times.clone()).median());
                samples[way].0.extend(times);
            }
        }
    }

    println!("\nTo acquire and to release, alone: us; {} times.", ROUNDS * IN_A_ROUND);
    println!("  {:<36}{:>9}{:>20}{:>9}{:>22}", "", "median", "p10-p90", "p99", "of the bare ones");
    for ((way, (name, bare)), samples) in WAYS.iter().enumerate().zip(&samples) {
        let (low, high) = samples.spread();
        let ratio = bare.map_or(String::new(), |bare| {
            let ratio = rounds[way].per_round(&rounds[bare]);
            let (low, high) = ratio.spread();
            format!("{:.2} ({low:.2}-{high:.2})", ratio.median())
        });
        println!(
            "  {name:<36}{:>9.1}{:>20}{:>9.1}{ratio:>22}",
            samples.median(),
            format!("{low:.1}-{high:.1}"),
            p99(samples)
        );
    }
}

impl Way {
    async fn run(&self, key: &str) {
        match self {
            Self::Redis(connection) => {
                let mut connection = connection.clone();
                assert!(set_if_free(&mut connection, key).await);
                delete(&mut connection, key).await;
            }
            Self::Postgres(pool) => {
                for owner in [key, ""] {
                    let update = sqlx::query("UPDATE bench_row SET owner = $1 WHERE id = 1");
                    update.bind(owner).execute(pool).await.expect("updated");
                }
            }
            Self::Locks(locks) => locks.acquire(key).await.release().await,
        }
    }
}

async fn pool_with_a_row(scene: &Scene) -> PgPool {
    let pool = scene.postgres().await;
    for statement in [
        "DROP TABLE IF EXISTS bench_row",
        "CREATE TABLE bench_row (id int PRIMARY KEY, owner text NOT NULL)",
        "INSERT INTO bench_row VALUES (1, '')",
    ] {
        pool.execute(statement).await.expect("executed");
    }
    // What the creation has left to do is not measured.
    tokio::time::sleep(Duration::from_millis(200)).await;
    pool
}
