use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use super::*;

type Flights = SingleFlight<u32, usize>;

struct Work {
    runs: AtomicUsize,
    gate: Semaphore,
}

impl Work {
    fn new() -> Arc<Self> {
        Arc::new(Self { runs: AtomicUsize::new(0), gate: Semaphore::new(0) })
    }

    async fn run(self: Arc<Self>) -> usize {
        let run = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
        self.gate.acquire().await.expect("the gate is never closed").forget();
        run
    }
}

fn waiter(joined: Joined<usize>) -> (Waiter<usize>, bool) {
    match joined {
        Joined::Waiting { answer, started } => (answer, started),
        Joined::Known(_) => panic!("expected a flight"),
    }
}

#[tokio::test]
async fn all_callers_share_one_run() {
    let (flights, work) = (Flights::new(Duration::from_secs(60), TaskTracker::new()), Work::new());
    let waiters: Vec<_> = (0..100)
        .map(|_| waiter(flights.join_or_start(&1, || Start::Flight(work.clone().run()))))
        .collect();
    assert_eq!(waiters.iter().filter(|(_, started)| *started).count(), 1);
    work.gate.add_permits(1);
    for (answer, _) in waiters {
        assert_eq!(answer.await, Ok(1));
    }
    assert_eq!(work.runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn every_waiter_leaves_and_the_work_still_runs_to_its_end() {
    let (flights, work) = (Flights::new(Duration::from_secs(60), TaskTracker::new()), Work::new());
    drop(flights.join_or_start(&1, || Start::Flight(work.clone().run())));
    let (late, started) = waiter(flights.join_or_start(&1, || Start::Flight(work.clone().run())));
    assert!(!started, "the flight outlives the caller that started it");
    work.gate.add_permits(1);
    assert_eq!(late.await, Ok(1));
}

#[tokio::test]
async fn a_settled_flight_is_not_joined() {
    let (flights, work) = (Flights::new(Duration::from_secs(60), TaskTracker::new()), Work::new());
    let (first, _) = waiter(flights.join_or_start(&1, || Start::Flight(work.clone().run())));
    flights.settle(|key| *key == 1, &77);
    assert_eq!(first.await, Ok(77));
    let (second, started) = waiter(flights.join_or_start(&1, || Start::Flight(work.clone().run())));
    assert!(started);
    work.gate.add_permits(2);
    assert!(second.await.is_ok());
}

#[tokio::test]
async fn the_end_of_an_old_flight_leaves_its_successor_registered() {
    let (flights, old, new) =
        (Flights::new(Duration::from_secs(60), TaskTracker::new()), Work::new(), Work::new());
    let (first, _) = waiter(flights.join_or_start(&1, || Start::Flight(old.clone().run())));
    flights.settle(|key| *key == 1, &77);
    let (_second, _) = waiter(flights.join_or_start(&1, || Start::Flight(new.clone().run())));
    old.gate.add_permits(1);
    assert_eq!(first.await, Ok(77));
    while Arc::strong_count(&old) > 1 {
        tokio::task::yield_now().await;
    }
    let (_third, started) = waiter(flights.join_or_start(&1, || Start::Flight(new.clone().run())));
    assert!(!started);
}

#[tokio::test]
async fn who_waits_is_counted_until_they_leave_or_are_answered() {
    let (flights, work) = (Flights::new(Duration::from_secs(60), TaskTracker::new()), Work::new());
    let join = |key| waiter(flights.join_or_start(&key, || Start::Flight(work.clone().run()))).0;
    let (one, other, elsewhere) = (join(1), join(1), join(2));
    assert_eq!(flights.waiting(), 3);
    drop(one);
    assert_eq!(flights.waiting(), 2);
    work.gate.add_permits(2);
    assert!(other.await.is_ok() && elsewhere.await.is_ok());
    assert_eq!(flights.waiting(), 0);
}

#[tokio::test]
async fn a_panic_is_told_to_every_waiter_and_the_next_caller_starts_afresh() {
    let flights = Flights::new(Duration::from_secs(60), TaskTracker::new());
    let (first, _) =
        waiter(flights.join_or_start(&1, || Start::Flight(async { panic!("on purpose") })));
    let (second, started) = waiter(flights.join_or_start(&1, || Start::Flight(async { 1 })));
    assert!(!started);
    assert_eq!((first.await, second.await), (Err(Lost), Err(Lost)));
    let (third, started) = waiter(flights.join_or_start(&1, || Start::Flight(async { 3 })));
    assert!(started);
    assert_eq!(third.await, Ok(3));
}

#[tokio::test]
async fn a_known_answer_starts_nothing() {
    let flights = Flights::new(Duration::from_secs(60), TaskTracker::new());
    let joined = flights.join_or_start(&1, || Start::<_, std::future::Pending<usize>>::No(5));
    assert!(matches!(joined, Joined::Known(5)));
    assert!(flights.running.get(&1).is_none());
}

#[tokio::test]
async fn two_keys_fly_side_by_side() {
    let (flights, work) = (Flights::new(Duration::from_secs(60), TaskTracker::new()), Work::new());
    let (one, _) = waiter(flights.join_or_start(&1, || Start::Flight(work.clone().run())));
    let (two, started) = waiter(flights.join_or_start(&2, || Start::Flight(work.clone().run())));
    assert!(started);
    work.gate.add_permits(2);
    let (one, two) = tokio::join!(one, two);
    assert_ne!(one, two);
}
