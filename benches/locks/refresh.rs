//! How long a refresh takes whose provider answers at once: with a lock, and without.

use std::time::Duration;

use crate::{
    app::App,
    common::{Samples, verdict},
    provider::Provider,
    scene::{Kind, Scene},
    times::{mean, micros_since, monotonic, p99},
};

const USERS: usize = 500;
const LOCKS: [Option<Kind>; 4] = [None, Some(Kind::Local), Some(Kind::Redis), Some(Kind::Postgres)];

pub async fn measure(scene: &Scene) {
    let provider = Provider::start(Duration::ZERO).await;
    let mut apps = Vec::new();
    for lock in LOCKS {
        apps.push(App::new(scene, &provider.url, lock).await);
    }
    let mut samples = vec![Samples::default(); LOCKS.len()];
    for round in 0..USERS + 10 {
        for turn in 0..LOCKS.len() {
            let way = (round + turn) % LOCKS.len();
            let cookie = apps[way].returning_user().await;
            let started = monotonic();
            apps[way].serve(&cookie).await;
            // The first ones warm up.
            if round >= 10 {
                samples[way].0.push(micros_since(started) / 1_000.0);
            }
        }
    }
    assert_eq!(provider.posts(), (USERS + 10) * LOCKS.len(), "each was refreshed once");

    println!(
        "\nA request that refreshes, sessions and tokens in Redis, the provider answers at once: \
         ms; {USERS} users in turn."
    );
    println!("  {:<16}{:>9}{:>9}{:>9}", "lock", "average", "median", "p99");
    let without = samples[0].clone();
    for (lock, samples) in LOCKS.iter().zip(&samples) {
        let (average, p99) = (mean(samples), p99(samples));
        let name = lock.map_or("none".to_owned(), |lock| lock.to_string());
        print!("  {name:<16}{average:>9.2}{:>9.2}{p99:>9.2}", samples.median());
        if lock.is_some() {
            let more = (average - mean(&without), p99 - self::p99(&without));
            let met = more.0 <= 5.0 && more.1 <= 20.0;
            print!(
                "   {:+.2} on average, {:+.2} at p99; goal <= 5 and <= 20: {}",
                more.0,
                more.1,
                verdict(met)
            );
        }
        println!();
    }
}
