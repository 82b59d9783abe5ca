//! Many want one key, at two processes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;

use crate::{
    common::{Samples, verdict},
    processes::Process,
    scene::{Kind, Locks, Scene, key},
    times::{micros_since, monotonic, of_line, p99, until, wall},
};

const CONTENDERS: [usize; 3] = [2, 10, 100];
const KINDS: [Kind; 5] = [Kind::Local, Kind::Redis, Kind::Postgres, Kind::Sqlite, Kind::Polling];
const FOR: Duration = Duration::from_secs(2);
const QUEUE: usize = 1_000;
const QUEUES: usize = 50;

pub async fn measure(scene: &Scene) {
    let mut other = Process::start(scene);
    println!(
        "\nAll want one key again as soon as they had it, half of them in another process, for \
         {FOR:?}: us that each waits"
    );
    println!(
        "  {:<16}{:>12}{:>14}{:>12}{:>12}{:>12}{:>14}",
        "", "contenders", "acquired/s", "p50", "p99", "longest", "other's share"
    );
    for kind in KINDS {
        let locks = scene.locks(kind).await;
        for contenders in CONTENDERS {
            let (here, there) = between_two(kind, &locks, contenders, &mut other).await;
            let share = there.len() as f64 / (here.len() + there.len()) as f64;
            let waits = Samples(here.into_iter().chain(there).collect());
            let longest = waits.0.iter().copied().fold(0.0, f64::max);
            let rate = waits.0.len() as f64 / FOR.as_secs_f64();
            println!(
                "  {kind:<16}{contenders:>12}{rate:>14.0}{:>12.1}{:>12.1}{longest:>12.0}{:>13.0}%",
                waits.median(),
                p99(&waits),
                share * 100.0
            );
        }
    }
    queues(scene).await;
}

/// The microseconds that each acquire took: here, and in the other process.
async fn between_two(
    kind: Kind,
    locks: &Locks,
    contenders: usize,
    other: &mut Process,
) -> (Vec<f64>, Vec<f64>) {
    let key = key();
    if kind == Kind::Local {
        return (contend(locks, &key, contenders, wall()).await, Vec::new());
    }
    other.ask(&format!("ready {kind}")).await;
    let start = wall() + 50_000_000;
    let half = contenders / 2;
    other.tell(&format!("contend {kind} {key} {half} {start}")).await;
    let here = contend(locks, &key, half, start).await;
    (here, of_line(&other.answer().await))
}

/// So many acquire and release until the time is over. Gives the microseconds of each acquire.
pub async fn contend(locks: &Locks, key: &str, contenders: usize, start: u64) -> Vec<f64> {
    until(start).await;
    let end = monotonic() + FOR;
    let tasks = (0..contenders).map(|_| {
        let (locks, key) = (locks.clone(), key.to_owned());
        tokio::spawn(async move {
            let mut waits = Vec::new();
            while monotonic() < end {
                let asked_at = monotonic();
                let held = locks.acquire(&key).await;
                waits.push(micros_since(asked_at));
                held.release().await;
            }
            waits
        })
    });
    let waits = join_all(tasks).await;
    waits.into_iter().flat_map(|waits| waits.expect("no panic")).collect()
}

/// A thousand at a local lock: all at once, and all behind somebody who then lets go.
async fn queues(scene: &Scene) {
    let locks = scene.locks(Kind::Local).await;
    let (mut at_once, mut behind) = (Samples::default(), Samples::default());
    for _ in 0..QUEUES {
        at_once.0.extend(queue(&locks, false).await);
        behind.0.extend(queue(&locks, true).await);
    }
    println!(
        "\n{QUEUE} tasks, one key of a LocalLock, each holds it for nothing: us; {QUEUES} times."
    );
    for (what, samples) in [
        ("all at once: from asking", &at_once),
        ("all behind one who holds it: from its release", &behind),
    ] {
        let p99 = p99(samples);
        println!(
            "  {what:<48}median {:>8.1}   p99 {p99:>8.1}   goal: p99 < 10,000 us: {}",
            samples.median(),
            verdict(p99 < 10_000.0)
        );
    }
}

/// Microseconds until each has the key.
async fn queue(locks: &Locks, behind: bool) -> Vec<f64> {
    let key = key();
    let first = if behind { Some(locks.acquire(&key).await) } else { None };
    let asking = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..QUEUE)
        .map(|_| {
            let (locks, key, asking) = (locks.clone(), key.clone(), asking.clone());
            tokio::spawn(async move {
                asking.fetch_add(1, Ordering::SeqCst);
                let asked_at = monotonic();
                let held = locks.acquire(&key).await;
                let held_at = monotonic();
                held.release().await;
                (asked_at, held_at)
            })
        })
        .collect();
    let mut released_at = Duration::ZERO;
    if let Some(first) = first {
        while asking.load(Ordering::SeqCst) < QUEUE {
            tokio::task::yield_now().await;
        }
        released_at = monotonic();
        first.release().await;
    }
    let times = join_all(tasks).await.into_iter().map(|times| times.expect("no panic"));
    // Whoever asked before the release waits from then on.
    let waited = |(asked_at, held_at): (Duration, Duration)| held_at - asked_at.max(released_at);
    times.map(|times| waited(times).as_nanos() as f64 / 1_000.0).collect()
}
