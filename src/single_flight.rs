//! One run of a piece of work for any number of callers that ask for it at the same time.
//!
//! A flight is a spawned task that nobody who waits for it owns: callers come and go, the task runs
//! to its end. [`SingleFlight::join_or_start`] joins the flight of a key or starts it. The flight
//! is registered before it is spawned, so two callers never start two. When the work is done its
//! waiters are woken first and the registration goes second: a caller that finds a settled flight
//! does not take its answer, which was made for somebody else, but starts the next flight in its
//! place. An answer is therefore never kept here. If the task panics or its runtime shuts down,
//! waiters get [`Lost`].

use std::{
    fmt,
    future::Future,
    hash::Hash,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::{FutureExt, Shared};
use moka::{ops::compute::Op, sync::Cache};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

/// The flights under way.
pub(crate) struct SingleFlight<K, V: Clone> {
    // Deliberately without a capacity: an evicted flight would be started a second time. The time
    // to live is a net under work that never ends; whoever runs the work bounds it well below.
    running: Cache<K, Arc<Flight<V>>>,
    tasks: TaskTracker,
}

/// What the caller that found no flight wants: no flight after all, or this one.
pub(crate) enum Start<V, F> {
    /// The answer is known by now; nothing starts.
    No(V),
    /// Start this work.
    Flight(F),
}

/// What a caller got.
pub(crate) enum Joined<V: Clone> {
    /// No flight was needed.
    Known(V),
    /// A flight is under way.
    Waiting {
        /// The flight's answer.
        answer: Waiter<V>,
        /// Whether this caller started it.
        started: bool,
    },
}

/// The work ended without an answer: it panicked, or its runtime shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lost;

impl<K, V> SingleFlight<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// `net` must be longer than any flight can take. Flights run as `tasks`.
    pub(crate) fn new(net: Duration, tasks: TaskTracker) -> Self {
        Self { running: Cache::builder().time_to_live(net).build(), tasks }
    }

    /// Joins the flight of `key`, or asks `decide` for one. `decide` runs while no other caller can
    /// start a flight of this key, so what it looks up there cannot be overtaken by a flight that
    /// is just ending.
    pub(crate) fn join_or_start<F>(
        &self,
        key: &K,
        decide: impl FnOnce() -> Start<V, F>,
    ) -> Joined<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        if let Some(answer) = self.running.get(key).and_then(|flight| flight.join()) {
            return Joined::Waiting { answer, started: false };
        }
        let mut outcome = None;
        self.running.entry_by_ref(key).and_compute_with(|found| {
            if let Some(answer) = found.and_then(|entry| entry.value().join()) {
                outcome = Some(Outcome::Join(answer));
                return Op::Nop;
            }
            match decide() {
                Start::No(value) => {
                    outcome = Some(Outcome::Known(value));
                    Op::Nop
                }
                Start::Flight(work) => {
                    let (flight, answer) = Flight::new();
                    outcome = Some(Outcome::Start(flight.clone(), answer, work));
                    Op::Put(flight)
                }
            }
        });
        match outcome {
            Some(Outcome::Known(value)) => Joined::Known(value),
            Some(Outcome::Join(answer)) => Joined::Waiting { answer, started: false },
            Some(Outcome::Start(flight, answer, work)) => {
                let flight_task =
                    Running { running: self.running.clone(), key: key.clone(), flight };
                self.tasks.spawn(flight_task.run(work));
                Joined::Waiting { answer, started: true }
            }
            None => unreachable!("the entry API calls its closure"),
        }
    }

    /// Answers the waiters of all running flights whose key `is_meant` now. Their work goes on to
    /// its end. Looks at every running flight, so it is for rare occasions.
    pub(crate) fn settle(&self, is_meant: impl Fn(&K) -> bool, value: &V) {
        for (key, flight) in &self.running {
            if is_meant(&key) {
                flight.settle(value.clone());
            }
        }
    }

    /// How many wait for the flight of `key` now.
    pub(crate) fn waiting_for(&self, key: &K) -> usize {
        self.running.get(key).map_or(0, |flight| flight.waiting())
    }

    /// How many wait now. It looks at every running flight, too.
    pub(crate) fn waiting(&self) -> usize {
        self.running.iter().map(|(_, flight)| flight.waiting()).sum()
    }
}

impl<K, V: Clone> fmt::Debug for SingleFlight<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleFlight").field("running", &self.running.entry_count()).finish()
    }
}

enum Outcome<V: Clone, F> {
    Known(V),
    Join(Waiter<V>),
    Start(Arc<Flight<V>>, Waiter<V>, F),
}

/// Open until somebody answers. Then it holds nothing any more: the cache may keep it for a while.
struct Flight<V: Clone>(Mutex<Option<Open<V>>>);

struct Open<V: Clone> {
    answer: Shared<oneshot::Receiver<V>>,
    answerer: oneshot::Sender<V>,
}

impl<V: Clone> Flight<V> {
    fn new() -> (Arc<Self>, Waiter<V>) {
        let (answerer, receiver) = oneshot::channel();
        let answer = receiver.shared();
        let waiter = Waiter(answer.clone());
        (Arc::new(Self(Mutex::new(Some(Open { answer, answerer })))), waiter)
    }

    /// None if it is settled.
    fn join(&self) -> Option<Waiter<V>> {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.as_ref().map(|open| Waiter(open.answer.clone()))
    }

    fn waiting(&self) -> usize {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let holders = open.as_ref().and_then(|open| open.answer.strong_count());
        // One of them is the flight.
        holders.map_or(0, |holders| holders - 1)
    }

    fn close(&self) -> Option<Open<V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn settle(&self, value: V) {
        if let Some(Open { answer: _, answerer }) = self.close() {
            // Nobody may be waiting any more.
            let _ = answerer.send(value);
        }
    }
}

/// Waits for a flight's answer. Dropping it leaves the flight and the other waiters alone.
pub(crate) struct Waiter<V: Clone>(Shared<oneshot::Receiver<V>>);

impl<V: Clone> Future for Waiter<V> {
    type Output = Result<V, Lost>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_unpin(cx).map_err(|_| Lost)
    }
}

/// Ends a flight however it ends: with its answer, by a panic, or with its runtime.
struct Running<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    running: Cache<K, Arc<Flight<V>>>,
    key: K,
    flight: Arc<Flight<V>>,
}

impl<K, V> Running<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    async fn run(self, work: impl Future<Output = V>) {
        let value = work.await;
        self.flight.settle(value);
        // The waiters run before this task spends time on the registration.
        tokio::task::yield_now().await;
    }
}

impl<K, V> Drop for Running<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn drop(&mut self) {
        drop(self.flight.close());
        self.running.entry_by_ref(&self.key).and_compute_with(|found| match found {
            Some(entry) if Arc::ptr_eq(entry.value(), &self.flight) => Op::Remove,
            _ => Op::Nop,
        });
    }
}

#[cfg(test)]
#[path = "single_flight/tests.rs"]
mod tests;
