//! What a held lock weighs: in this process, counted at the allocator, and in Redis.

use tower_token_refresh::lock::LockGuard;

use crate::{
    HEAP,
    common::verdict,
    scene::{Held, Kind, Locks, Scene, key},
};

const LOCKS: usize = 1_000;
const KINDS: [(Kind, usize); 4] =
    [(Kind::Local, 200), (Kind::Redis, 1_000), (Kind::Postgres, 1_000), (Kind::Sqlite, 1_000)];

pub async fn measure(scene: &Scene) {
    println!(
        "\n{LOCKS} locks held at once, keys of 40 bytes: bytes per lock in this process, its guard \
         ({} B) counted",
        size_of::<LockGuard>()
    );
    for (kind, goal) in KINDS {
        let locks = scene.locks(kind).await;
        // Once through everything, so that what is made once is not counted.
        release(hold(&locks).await).await;
        let before = HEAP.current_usage();
        let held = hold(&locks).await;
        let bytes = HEAP.current_usage().saturating_sub(before) / LOCKS;
        let at_redis = match kind {
            Kind::Redis => format!("   in Redis: {} B", in_redis(scene).await),
            _ => String::new(),
        };
        release(held).await;
        println!("  {kind:<16}{bytes:>6}   goal < {goal}: {}{at_redis}", verdict(bytes < goal));
    }
}

async fn hold(locks: &Locks) -> Vec<LockGuard> {
    let mut all = Vec::with_capacity(LOCKS);
    for _ in 0..LOCKS {
        let Held::Guard(guard) = locks.acquire(&key()).await else { unreachable!("a service") };
        all.push(guard);
    }
    all
}

async fn release(all: Vec<LockGuard>) {
    for guard in all {
        guard.release().await.expect("it was held");
    }
}

/// What one of the locks that are held weighs there.
async fn in_redis(scene: &Scene) -> usize {
    let mut connection = scene.bare_redis().await;
    let mut keys = redis::cmd("KEYS");
    keys.arg(format!("{}:l:*", scene.prefix));
    let keys: Vec<String> = keys.query_async(&mut connection).await.expect("Redis answers");
    let mut weigh = redis::cmd("MEMORY");
    weigh.arg("USAGE").arg(keys.first().expect("locks are held"));
    weigh.query_async(&mut connection).await.expect("Redis answers")
}
