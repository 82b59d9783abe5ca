//! Bytes per waiter of one flight, and per user that waits, is served or is idle. Counted at the allocator.

#[allow(dead_code, reason = "the bench uses a part of it")]
#[path = "../src/flight.rs"]
mod flight;

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use support::{token_response, verdict};
use flight::{Boarded, Departure, SingleFlight};
use http_body_util::Full;
use peak_alloc::PeakAlloc;
use tokio_util::task::TaskTracker;
use tower_sessions::{MemoryStore, Session, SessionStore, session::Id};
use tower_token_refresh::{
    ClientAuth, TokenEndpoint, TokenRefresher, TokenSet, Transport, testing::ManualClock,
    tower_sessions,
};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const WAITERS: usize = 10_000;
const USERS: usize = 1_000;
const MEGABYTE: usize = 1_000_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts");
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
                match flights.board(&1, || Departure::Fly(fly)) {
                    Boarded::Known(known) => known,
                    Boarded::Waiting { answer, .. } => answer.await.expect("the flight lands"),
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
    let store = MemoryStore::default();
    let refresher = TokenRefresher::builder(endpoint, store.clone())
        .clock(clock.clock())
        .build()
        .expect("the settings agree");
    let guarded = Arc::new(refresher.session_store());

    // Once through everything, so that what is made once is not counted.
    log_in(&refresher, &guarded).await;
    let before = HEAP.current_usage();
    let mut ids = Vec::with_capacity(USERS);
    for _ in 0..USERS {
        ids.push(log_in(&refresher, &guarded).await);
    }
    // What the application's own store holds is not ours: it weighs as much as a copy of it.
    let in_store = weight_of_copy(&store, &ids).await;
    let ours = |now: usize| now.saturating_sub(before + in_store);
    let logged_in = ours(HEAP.current_usage());

    clock.advance(Duration::from_secs(300));
    let mut requests = Vec::with_capacity(USERS);
    for id in &ids {
        let (refresher, session) =
            (refresher.clone(), Session::new(Some(*id), guarded.clone(), None));
        requests.push(tokio::spawn(async move { refresher.valid_token(&session).await.map(drop) }));
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let waiting = ours(HEAP.current_usage());

    answering.store(true, Ordering::SeqCst);
    sender.send_replace(());
    for request in requests {
        request.await.expect("no panic").expect("a token");
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let finished = ours(HEAP.current_usage());
    let used = refresher.usage();

    // Others go on logging in: one sweep finds who was in use until then, and a later one who no longer is.
    for pause in [10, 61] {
        clock.advance(Duration::from_secs(pause));
        log_in(&refresher, &guarded).await;
    }
    let idle = ours(HEAP.current_usage());
    let idle_used = refresher.usage();

    clock.advance(Duration::from_secs(600));
    log_in(&refresher, &guarded).await;
    let forgotten = ours(HEAP.current_usage());

    println!(
        "\n{USERS} users, one session and one grant each: bytes of ours, the session store's own not counted"
    );
    println!("  {:<48}{:>12}{:>10}", "", "all", "per user");
    let line = |what: &str, bytes: usize| println!("  {what:<48}{bytes:>12}{:>10}", bytes / USERS);
    line("sets in use, logged in", logged_in);
    line("waiting: a request and a flight each", waiting);
    line("sets in use, refreshed", finished);
    line("idle: no request for 71 s", idle);
    line("no request for 10 min", forgotten);
    println!(
        "\n  the refresher counts {} B of sets for {} grants in use, {} B for {} after 71 s",
        used.set_bytes, used.grants, idle_used.set_bytes, idle_used.grants
    );
    println!("  {USERS} idle users, goal < {MEGABYTE} B: {}\n", verdict(idle < MEGABYTE));
}

async fn log_in(refresher: &TokenRefresher, store: &Arc<impl SessionStore>) -> Id {
    let session = Session::new(None, store.clone(), None);
    let set = TokenSet::from_response(token_response("alice")).expect("a token response");
    refresher.log_in(&session, set).await.expect("logged in");
    session.id().expect("a saved session has an id")
}

async fn weight_of_copy(store: &MemoryStore, ids: &[Id]) -> usize {
    let before = HEAP.current_usage();
    let copy = MemoryStore::default();
    for id in ids {
        let mut record =
            store.load(id).await.expect("the memory store does not fail").expect("logged in");
        copy.create(&mut record).await.expect("the memory store does not fail");
    }
    HEAP.current_usage().saturating_sub(before)
}
