//! Requests at once for one user whose token has expired: at one process, at two and at four.

use std::time::Duration;

use futures_util::future::join_all;

use crate::{
    app::App,
    common::{Samples, verdict},
    processes::Process,
    provider::Provider,
    scene::{Kind, Scene},
    times::{of_line, p99, part, until, wall},
};

const ROUNDS: usize = 21;
pub const PROVIDER_TAKES: Duration = Duration::from_millis(100);
/// Requests, and processes that they are dealt out to in turn.
const STORMS: [(usize, usize); 8] =
    [(1, 1), (5, 1), (10, 1), (10, 2), (100, 1), (500, 1), (500, 2), (500, 4)];

pub async fn measure(scene: &Scene) {
    let provider = Provider::start(PROVIDER_TAKES).await;
    let door = App::new(scene, &provider.url, None).await;
    let mut processes: Vec<_> = (0..4).map(|_| Process::start(scene)).collect();
    println!(
        "\nRequests at once, the provider takes {PROVIDER_TAKES:?}: ms until they are answered; \
         medians of {ROUNDS} storms."
    );
    println!(
        "  {:<14}{:>10}{:>11}{:>9}{:>9}{:>22}{:>9}",
        "lock", "requests", "processes", "p50", "p99", "p99: p10-p90", "last"
    );
    for lock in [None, Some(Kind::Redis)] {
        let mut of_storm = [(); STORMS.len()].map(|()| Seen::default());
        // The first round begins to listen.
        for round in 0..=ROUNDS {
            for turn in 0..STORMS.len() {
                let nth = (round + turn) % STORMS.len();
                let (requests, at) = STORMS[nth];
                let (cookie, posts) = (door.returning_user().await, provider.posts());
                let times =
                    storm(&mut processes[..at], lock, &provider.url, &cookie, requests).await;
                assert_eq!(provider.posts(), posts + 1, "one refresh");
                if round > 0 {
                    of_storm[nth].add(&times);
                }
            }
        }
        print(lock, &of_storm);
    }
}

#[derive(Default)]
struct Seen {
    p50: Samples,
    p99: Samples,
    last: Samples,
}

impl Seen {
    fn add(&mut self, times: &Samples) {
        self.p50.0.push(times.median());
        self.p99.0.push(p99(times));
        self.last.0.push(part(times, 1.0));
    }
}

fn print(lock: Option<Kind>, of_storm: &[Seen]) {
    let name = lock.map_or("none".to_owned(), |lock| lock.to_string());
    for ((requests, at), seen) in STORMS.iter().zip(of_storm) {
        let (low, high) = seen.p99.spread();
        println!(
            "  {name:<14}{requests:>10}{at:>11}{:>9.1}{:>9.1}{:>22}{:>9.1}",
            seen.p50.median(),
            seen.p99.median(),
            format!("{low:.1}-{high:.1}"),
            seen.last.median()
        );
    }
    let [.., one, _two, four] = of_storm else { return };
    let more = four.p99.0.iter().zip(&one.p99.0).map(|(four, one)| four - one);
    let more = Samples(more.collect());
    let (low, high) = more.spread();
    println!(
        "  500 at four processes against one: p99 {:+.1} ms ({low:+.1} to {high:+.1}), goal <= +10: {}",
        more.median(),
        verdict(more.median() <= 10.0)
    );
}

/// Deals out `requests` to `processes`. Gives the milliseconds of each, from the moment at which all
/// were sent.
pub async fn storm(
    processes: &mut [Process],
    lock: Option<Kind>,
    provider: &str,
    cookie: &str,
    requests: usize,
) -> Samples {
    let lock = lock.map_or("none".to_owned(), |lock| lock.to_string());
    let (each, start) = (requests / processes.len(), wall() + 50_000_000);
    for process in &mut *processes {
        process.tell(&format!("storm {lock} {provider} {cookie} {each} {start}")).await;
    }
    let mut times = Samples::default();
    for process in processes {
        times.0.extend(of_line(&process.answer().await));
    }
    times
}

/// What a process does for its part of a storm.
pub async fn requests_at_once(app: &App, cookie: &str, requests: usize, start: u64) -> Vec<f64> {
    until(start).await;
    let tasks = (0..requests).map(|_| {
        let (app, cookie) = (app.clone(), cookie.to_owned());
        tokio::spawn(async move {
            app.serve(&cookie).await;
            wall().saturating_sub(start) as f64 / 1e6
        })
    });
    let times = join_all(tasks.collect::<Vec<_>>()).await;
    times.into_iter().map(|time| time.expect("no panic")).collect()
}
