//! What it costs N requests to wait for one refresh.
//!
//! N tasks are spawned at once on two worker threads and all want the same token; one refresh
//! answers them. Told is the time from the first spawn to the last answer, as the median of rounds
//! in which all designs take turns; the floor is tasks that answer at once. First for a refresh of
//! 5 ms, less the refresh itself: what a user waits beyond it. Much of the asking hides behind
//! those 5 ms, so then for a refresh that ends as soon as the last of the N has begun to ask, with
//! nothing taken off. (What a waiter weighs: `cargo bench --bench memory`.)

mod by_hand;
#[path = "../common/mod.rs"]
mod common;

#[allow(dead_code, reason = "the bench uses a part of it")]
#[path = "../../src/single_flight.rs"]
mod single_flight;

use std::{
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use by_hand::{KeyedMutex, whole_by_hand};
use common::{Samples, print_goal, token_response};
use http_body_util::Full;
use single_flight::{Joined, SingleFlight, Start};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;
use tower_sessions::{MemoryStore, Session, SessionStore, session::Id};
use tower_token_refresh::{
    ClientAuth, TokenEndpoint, TokenRefresher, TokenSet, Transport, tower_sessions,
};

const REFRESH: Duration = Duration::from_millis(5);
const WAITERS: [usize; 5] = [1, 10, 100, 1_000, 10_000];
const ROUNDS: usize = 21;
const DESIGNS: [&str; 6] = [
    "tasks that answer at once (the floor)",
    "keyed mutex with a second look",
    "moka future::Cache::try_get_with",
    "ours: the flight alone",
    "whole, by hand: keyed mutex, session read again",
    "whole, ours: TokenRefresher::valid_token",
];

/// When the refresh ends.
#[derive(Clone, Copy)]
enum Until {
    FiveMillis,
    AllHaveAsked,
}

/// Counts the refreshes and measures the one.
#[derive(Clone)]
struct Refresh(Arc<Meter>);

struct Meter {
    until: Until,
    to_ask: AtomicUsize,
    all_asked: Notify,
    count: AtomicUsize,
    nanos: AtomicU64,
}

impl Refresh {
    fn new(until: Until, n: usize) -> Self {
        Self(Arc::new(Meter {
            until,
            to_ask: AtomicUsize::new(n),
            all_asked: Notify::new(),
            count: AtomicUsize::new(0),
            nanos: AtomicU64::new(0),
        }))
    }

    fn asked(&self) {
        if self.0.to_ask.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.all_asked.notify_one();
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
    async fn run(self) -> usize {
        let started = std::time::Instant::now();
        let run = self.0.count.fetch_add(1, Ordering::SeqCst) + 1;
        if let Until::AllHaveAsked = self.0.until {
            self.0.all_asked.notified().await;
            return run;
        }
        tokio::time::sleep(REFRESH).await;
        let nanos = u64::try_from(started.elapsed().as_nanos()).expect("not for centuries");
        self.0.nanos.fetch_add(nanos, Ordering::SeqCst);
        run
    }
}

fn main() {
    let runtime = common::runtime();
    // In a task: the threads that spawn are those that work.
    runtime.block_on(runtime.spawn(compare())).expect("no panic");
}

async fn compare() {
    println!(
        "\nMicroseconds until the last of N has its answer; medians of {ROUNDS} rounds, all designs in turn."
    );
    println!("\nA refresh of 5 ms, less the refresh:");
    print_goals(&table(Until::FiveMillis).await);
    println!("\nA refresh that ends when all have asked, nothing taken off:");
    print_goals(&table(Until::AllHaveAsked).await);
    println!("\nRefreshes: one for every N and every design, checked in every round.\n");
}

fn print_goals(at_most: &[Samples]) {
    let ratio = |ours: usize, other: usize| {
        let per_round = at_most[ours].per_round(&at_most[other]);
        (at_most[ours].median() / at_most[other].median(), per_round.spread())
    };
    let (to_floor, spread) = ratio(3, 0);
    print_goal("  at 10,000: the flight alone / the floor", to_floor, Some(spread), 1.00);
    let (whole, spread) = ratio(5, 4);
    print_goal("  at 10,000: whole, ours / whole, by hand", whole, Some(spread), 1.00);
    let (ratio, (low, high)) = ratio(3, 1);
    println!(
        "  at 10,000: the flight alone / keyed mutex: {ratio:.2} (p10-p90 {low:.2}-{high:.2})"
    );
}

/// Prints one table and gives the samples for the largest N.
async fn table(until: Until) -> Vec<Samples> {
    print!("  {:<50}", "N =");
    for n in WAITERS {
        print!("{n:>9}");
    }
    println!();
    let mut medians = vec![Vec::new(); DESIGNS.len()];
    let mut last = Vec::new();
    for n in WAITERS {
        let mut samples = vec![Samples::default(); DESIGNS.len()];
        for round in 0..=ROUNDS {
            for turn in 0..DESIGNS.len() {
                let design = (round + turn) % DESIGNS.len();
                let micros = measure(design, n, until).await;
                // The first round warms up.
                if round > 0 {
                    samples[design].0.push(micros);
                }
            }
        }
        for (medians, samples) in medians.iter_mut().zip(&samples) {
            medians.push(samples.median());
        }
        last = samples;
    }
    for (name, medians) in DESIGNS.iter().zip(&medians) {
        print!("  {name:<50}");
        for micros in medians {
            print!("{micros:>9.0}");
        }
        println!();
    }
    last
}

async fn measure(design: usize, n: usize, until: Until) -> f64 {
    let refresh = Refresh::new(until, n);
    match design {
        0 => storm(n, &refresh, |_| std::future::ready(1)).await,
        1 => {
            let keyed = KeyedMutex::default();
            let answer: Arc<Mutex<Option<usize>>> = Arc::default();
            storm(n, &refresh, move |refresh| {
                let (lock, answer) = (keyed.of(1), answer.clone());
                async move {
                    let _held = lock.lock().await;
                    let known = *answer.lock().expect("no panic");
                    match known {
                        Some(known) => known,
                        None => {
                            let fresh = refresh.run().await;
                            *answer.lock().expect("no panic") = Some(fresh);
                            fresh
                        }
                    }
                }
            })
            .await
        }
        2 => {
            let cache = moka::future::Cache::<u64, usize>::new(10_000);
            storm(n, &refresh, move |refresh| {
                let cache = cache.clone();
                async move {
                    cache
                        .try_get_with(
                            1,
                            async move { Ok::<_, std::io::Error>(refresh.run().await) },
                        )
                        .await
                        .expect("the refresh succeeds")
                }
            })
            .await
        }
        3 => {
            let flights = Arc::new(SingleFlight::<u64, usize>::new(
                Duration::from_secs(60),
                TaskTracker::new(),
            ));
            // What the token cache is to the crate: a caller that comes late finds the answer
            // there.
            let landed: Arc<Mutex<Option<usize>>> = Arc::default();
            storm(n, &refresh, move |refresh| {
                let (flights, landed) = (flights.clone(), landed.clone());
                async move {
                    let joined =
                        flights.join_or_start(&1, || match *landed.lock().expect("no panic") {
                            Some(known) => Start::No(known),
                            None => Start::Flight({
                                let landed = landed.clone();
                                async move {
                                    let fresh = refresh.run().await;
                                    *landed.lock().expect("no panic") = Some(fresh);
                                    fresh
                                }
                            }),
                        });
                    match joined {
                        Joined::Known(known) => known,
                        Joined::Waiting { answer, .. } => answer.await.expect("the flight lands"),
                    }
                }
            })
            .await
        }
        4 => whole_by_hand(n, &refresh).await,
        _ => whole_ours(n, &refresh).await,
    }
}

/// Spawns `n` tasks that ask, and gives the microseconds until the last one has its answer, less
/// the refresh.
#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
async fn storm<F>(n: usize, refresh: &Refresh, mut ask: impl FnMut(Refresh) -> F) -> f64
where
    F: Future<Output = usize> + Send + 'static,
{
    let mut tasks = Vec::with_capacity(n);
    let started = std::time::Instant::now();
    for _ in 0..n {
        let (refresh, answer) = (refresh.clone(), ask(refresh.clone()));
        tasks.push(tokio::spawn(async move {
            refresh.asked();
            answer.await
        }));
    }
    for task in tasks {
        assert_eq!(task.await.expect("no panic"), 1, "everybody gets the one refresh's answer");
    }
    let total = started.elapsed();
    assert!(refresh.0.count.load(Ordering::SeqCst) <= 1, "one refresh");
    let refreshing = Duration::from_nanos(refresh.0.nanos.load(Ordering::SeqCst));
    total.saturating_sub(refreshing).as_nanos() as f64 / 1_000.0
}

/// Each request has loaded its session.
async fn whole_ours(n: usize, refresh: &Refresh) -> f64 {
    let transport = {
        let refresh = refresh.clone();
        Transport::new(tower::service_fn(move |_| {
            let refresh = refresh.clone();
            async move {
                refresh.run().await;
                let body = Full::new(token_response("alice").to_string().into());
                http::Response::builder().header("content-type", "application/json").body(body)
            }
        }))
    };
    let endpoint =
        TokenEndpoint::new("https://id.example.test/token", ClientAuth::basic("web", "secret"))
            .transport(transport);
    let refresher = TokenRefresher::builder(endpoint, MemoryStore::default())
        .build()
        .expect("the settings agree");
    let store = Arc::new(refresher.session_store());
    let first = Session::new(None, store.clone(), None);
    let set = TokenSet::from_response(token_response("alice")).expect("a token response");
    // Long expired.
    let set = set.with_obtained_at(SystemTime::UNIX_EPOCH).with_expires_at(SystemTime::UNIX_EPOCH);
    refresher.log_in(&first, set).await.expect("logged in");
    let mut sessions = loaded(n, first.id(), store).await;
    storm(n, refresh, move |_| {
        let (refresher, session) = (refresher.clone(), sessions.pop().expect("one for each"));
        async move {
            refresher.valid_token(&session).await.expect("a token");
            1
        }
    })
    .await
}

async fn loaded(n: usize, id: Option<Id>, store: Arc<impl SessionStore>) -> Vec<Session> {
    let mut sessions = Vec::with_capacity(n);
    for _ in 0..n {
        let session = Session::new(id, store.clone(), None);
        session.load().await.expect("the store does not fail");
        sessions.push(session);
    }
    sessions
}
