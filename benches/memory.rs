//! Bytes per waiter of one flight, and per user that waits, is served or is idle. Counted at the
//! allocator.

mod common;

#[allow(dead_code, reason = "the bench uses a part of it")]
#[path = "../src/single_flight.rs"]
mod single_flight;

use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use common::{token_response, verdict};
use http_body_util::Full;
use peak_alloc::PeakAlloc;
use single_flight::{Joined, SingleFlight, Start};
use tokio_util::task::TaskTracker;
use tower_sessions::{MemoryStore, Session, SessionStore, session::Id};
use tower_token_refresh::{
    ClientAuth, TokenEndpoint, TokenRefresher, TokenSet, Transport, Usage,
    testing::{ManualClock, MemoryTokens},
    tower_sessions,
};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const WAITERS: usize = 10_000;
const USERS: usize = 1_000;
const MEGABYTE: usize = 1_000_000;

fn main() {
    let runtime = common::runtime();
    runtime.block_on(runtime.spawn(weigh())).expect("no panic");
}

async fn weigh() {
    let floor = floor().await;
    let ours = flight_alone().await;
    println!(
        "\nOne flight, {WAITERS} waiters: bytes per waiter at the peak, its task and its join handle counted"
    );
    println!("  tasks that answer at once (the floor){floor:>8}");
    println!(
        "  ours: the flight alone               {ours:>8}   goal <= 350: {}",
        verdict(ours <= 350)
    );
    users().await;
}

async fn floor() -> usize {
    peak_per_waiter(async {
        let tasks: Vec<_> = (0..WAITERS).map(|_| tokio::spawn(async { 1_usize })).collect();
        for task in tasks {
            task.await.expect("no panic");
        }
    })
    .await
}

async fn flight_alone() -> usize {
    let flights =
        Arc::new(SingleFlight::<u64, usize>::new(Duration::from_secs(60), TaskTracker::new()));
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    peak_per_waiter(async {
        let mut tasks = Vec::with_capacity(WAITERS);
        for _ in 0..WAITERS {
            let (flights, gate) = (flights.clone(), gate.clone());
            tasks.push(tokio::spawn(async move {
                let fly = async move {
                    gate.acquire().await.expect("never closed").forget();
                    1
                };
                match flights.join_or_start(&1, || Start::Flight(fly)) {
                    Joined::Known(known) => known,
                    Joined::Waiting { answer, .. } => answer.await.expect("the flight lands"),
                }
            }));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        gate.add_permits(1);
        for task in tasks {
            task.await.expect("no panic");
        }
    })
    .await
}

async fn peak_per_waiter(work: impl Future<Output = ()>) -> usize {
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    work.await;
    HEAP.peak_usage().saturating_sub(before) / WAITERS
}

async fn users() {
    let clock = ManualClock::new();
    let answering = Arc::new(AtomicBool::new(false));
    let (sender, opened) = tokio::sync::watch::channel(());
    let transport = Transport::new(tower::service_fn({
        let answering = answering.clone();
        move |_| {
            let (answering, mut opened) = (answering.clone(), opened.clone());
            async move {
                while !answering.load(Ordering::SeqCst) {
                    opened.changed().await.expect("the sender lives");
                }
                let body = Full::new(token_response("alice").to_string().into());
                http::Response::builder().header("content-type", "application/json").body(body)
            }
        }
    }));
    let endpoint =
        TokenEndpoint::new("https://id.example.test/token", ClientAuth::basic("web", "secret"))
            .transport(transport);
    let stores = Stores { sessions: MemoryStore::default(), tokens: MemoryTokens::new() };
    let refresher = TokenRefresher::builder(endpoint, stores.sessions.clone())
        .token_store(stores.tokens.clone())
        .clock(clock.clock())
        .build()
        .expect("the settings agree");
    let guarded = Arc::new(refresher.session_store());

    // Once through everything, so that what is made once is not counted.
    let first = log_in(&refresher, &guarded).await;
    let before = HEAP.current_usage() - stores.weight(&[first]).await;
    let mut ids = vec![first];
    for _ in 0..USERS {
        ids.push(log_in(&refresher, &guarded).await);
    }
    // What the application's own stores hold is not ours: it weighs as much as a copy of it.
    let ours = async |ids: &[Id]| {
        let in_stores = stores.weight(ids).await;
        HEAP.current_usage().saturating_sub(before + in_stores)
    };
    let logged_in = (ours(&ids).await, refresher.usage());

    clock.advance(Duration::from_secs(300));
    let mut requests = Vec::with_capacity(USERS);
    for id in &ids {
        let (refresher, session) =
            (refresher.clone(), Session::new(Some(*id), guarded.clone(), None));
        requests.push(tokio::spawn(async move { refresher.valid_token(&session).await.map(drop) }));
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let waiting = (ours(&ids).await, refresher.usage());

    answering.store(true, Ordering::SeqCst);
    sender.send_replace(());
    for request in requests {
        request.await.expect("no panic").expect("a token");
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let in_use = (ours(&ids).await, refresher.usage());

    // Others go on logging in: one sweep finds who was in use until then, and the next one who no
    // longer is.
    for _ in 0..2 {
        clock.advance(Duration::from_secs(61));
        ids.push(log_in(&refresher, &guarded).await);
    }
    let idle = (ours(&ids).await, refresher.usage());

    println!(
        "\n{USERS} users, one session and one login each: bytes of ours, the stores' own not counted"
    );
    println!("  {:<36}{:>12}{:>10}{:>16}", "", "all", "per user", "last writes");
    let line = |what: &str, (bytes, usage): (usize, Usage)| {
        let bytes = bytes.saturating_sub(usage.last_write_bytes);
        println!("  {what:<36}{bytes:>12}{:>10}{:>16}", bytes / USERS, usage.last_write_bytes);
        bytes
    };
    line("logged in", logged_in);
    line("waiting: a request and a flight each", waiting);
    let in_use = line("in use, refreshed", in_use);
    let idle = line("idle: no request for two minutes", idle);
    println!("  in use, goal <= 2 MB: {}", verdict(in_use <= 2 * MEGABYTE));
    println!("  idle, goal <= 0.1 MB: {}\n", verdict(idle <= MEGABYTE / 10));
}

async fn log_in(refresher: &TokenRefresher, store: &Arc<impl SessionStore>) -> Id {
    let session = Session::new(None, store.clone(), None);
    let set = TokenSet::from_response(token_response("alice")).expect("a token response");
    refresher.log_in(&session, set).await.expect("logged in");
    session.id().expect("a saved session has an id")
}

struct Stores {
    sessions: MemoryStore,
    tokens: MemoryTokens,
}

impl Stores {
    /// What a copy of everything in the stores weighs.
    async fn weight(&self, ids: &[Id]) -> usize {
        let before = HEAP.current_usage();
        let sessions = MemoryStore::default();
        for id in ids {
            let record = self.sessions.load(id).await.expect("it does not fail");
            if let Some(mut record) = record {
                sessions.create(&mut record).await.expect("it does not fail");
            }
        }
        let tokens: HashMap<_, _> = self.tokens.records().into_iter().collect();
        let weight = HEAP.current_usage() - before;
        drop((sessions, tokens));
        weight
    }
}
