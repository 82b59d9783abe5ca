//! What the lock services and the token stores cost, between processes.
//!
//! `tests/services/run redis postgres -- cargo bench --bench locks` starts the servers on loopback
//! and prints all tables; `-- hand_over storm` at the end prints those two. The other processes are
//! this program, started again. Heap is counted throughout, which adds some nanoseconds to each
//! allocation.
//!
//! | name | what is measured |
//! |---|---|
//! | `alone` | to acquire and release a key that nobody else wants |
//! | `hand_over` | from a release to the waiter in another process |
//! | `contenders` | 2, 10 and 100 who want one key all the time, and a queue of 1,000 |
//! | `bytes` | what a held lock weighs |
//! | `trips` | round trips to Redis of a refresh |
//! | `refresh` | how long a refresh takes with a lock, and without |
//! | `storm` | requests at once at one, two and four processes |

mod alone;
mod app;
mod bytes;
mod child;
#[path = "../common/mod.rs"]
mod common;
mod contenders;
mod hand_over;
mod processes;
mod provider;
mod refresh;
mod scene;
mod storm;
mod times;
mod trips;

use std::{env, time::Duration};

use peak_alloc::PeakAlloc;
use scene::Scene;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

fn main() {
    let runtime = common::runtime();
    // In a task: the threads that spawn are those that work.
    let work = match Scene::of_a_child(env::args()) {
        Some(scene) => runtime.spawn(child::serve(scene)),
        None => runtime.spawn(measure(Scene::of_environment())),
    };
    runtime.block_on(work).expect("no panic");
    // Whoever still waits for a line of input is not waited for.
    runtime.shutdown_timeout(Duration::ZERO);
}

async fn measure(scene: Scene) {
    let names: Vec<_> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    println!("\nServers on loopback; times in the unit named, p10-p90 in brackets.");
    if is_wanted("alone") {
        alone::measure(&scene).await;
    }
    if is_wanted("hand_over") {
        hand_over::measure(&scene).await;
    }
    if is_wanted("contenders") {
        contenders::measure(&scene).await;
    }
    if is_wanted("bytes") {
        bytes::measure(&scene).await;
    }
    if is_wanted("trips") {
        trips::measure(&scene).await;
    }
    if is_wanted("refresh") {
        refresh::measure(&scene).await;
    }
    if is_wanted("storm") {
        storm::measure(&scene).await;
    }
    println!();
}
