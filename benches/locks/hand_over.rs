//! From a release to the moment when the waiter, in another process, has the key.

use std::time::Duration;

use crate::{
    common::{Samples, verdict},
    processes::Process,
    scene::{Kind, Locks, Scene, key},
    times::{p99, wall},
};

const TIMES: usize = 300;
const KINDS: [(Kind, Option<f64>); 5] = [
    (Kind::Told, None),
    (Kind::Redis, Some(2.0)),
    (Kind::Postgres, Some(5.0)),
    (Kind::Sqlite, None),
    (Kind::Polling, None),
];
/// After this a waiter has been told that the key is held, whatever the server.
const LONG_ENOUGH: Duration = Duration::from_millis(15);

pub async fn measure(scene: &Scene) {
    let mut waiter = Process::start(scene);
    let mut holders = Vec::new();
    for (kind, _) in KINDS {
        holders.push(scene.locks(kind).await);
        waiter.ask(&format!("ready {kind}")).await;
    }
    let mut samples = vec![Samples::default(); KINDS.len()];
    for round in 0..TIMES + 5 {
        for ((kind, _), (holder, samples)) in KINDS.iter().zip(holders.iter().zip(&mut samples)) {
            let millis = loop {
                if let Some(millis) = hand_over(*kind, holder, &mut waiter, round).await {
                    break millis;
                }
            };
            // The first ones begin to listen.
            if round >= 5 {
                samples.0.push(millis);
            }
        }
    }

    println!(
        "\nA release here, until the waiter in another process has the key: ms; {TIMES} times."
    );
    println!("  {:<32}{:>9}{:>9}{:>9}{:>9}", "", "p10", "median", "p90", "p99");
    for ((kind, goal), samples) in KINDS.iter().zip(&samples) {
        let ((low, high), p99) = (samples.spread(), p99(samples));
        let goal = goal.map_or(String::new(), |goal| {
            format!("   goal: p99 < {goal} ms: {}", verdict(p99 < goal))
        });
        let name = match kind {
            Kind::Told => "bare Redis: SET NX, PUBLISH".to_owned(),
            Kind::Polling => "bare Redis: SET NX every 10 ms".to_owned(),
            kind => kind.to_string(),
        };
        println!("  {name:<32}{low:>9.2}{:>9.2}{high:>9.2}{p99:>9.2}{goal}", samples.median());
    }
}

/// In milliseconds. None if the waiter was so slow to begin that it may not have waited yet.
async fn hand_over(kind: Kind, holder: &Locks, waiter: &mut Process, round: usize) -> Option<f64> {
    let key = key();
    let held = holder.acquire(&key).await;
    waiter.tell(&format!("wait {kind} {key}")).await;
    // Not in step with those who poll.
    let uneven = Duration::from_micros(round as u64 * 617 % 10_000);
    tokio::time::sleep(LONG_ENOUGH + Duration::from_millis(5) + uneven).await;
    let released_at = wall();
    held.release().await;
    let answer = waiter.answer().await;
    let (asked_at, held_at) = answer.split_once(' ').expect("two times");
    let asked_at: u64 = asked_at.parse().expect("a time");
    let held_at: u64 = held_at.parse().expect("a time");
    let waited = released_at.saturating_sub(asked_at);
    (u128::from(waited) > LONG_ENOUGH.as_nanos())
        .then(|| held_at.saturating_sub(released_at) as f64 / 1e6)
}
