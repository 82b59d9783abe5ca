//! Calls that stop at gates, fail or panic when told to.

use std::{
    collections::VecDeque,
    fmt::Debug,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::Semaphore;

/// What the calls of a store do next.
pub struct Script<Op>(Arc<Mutex<Lines<Op>>>);

struct Lines<Op> {
    before: Vec<(Op, usize, Arc<Latches>)>,
    after: Vec<(Op, usize, Arc<Latches>)>,
    next: VecDeque<(Op, Mishap)>,
    refusing: Vec<Op>,
    calls: Vec<Op>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mishap {
    Error,
    Panic,
    AnswerLost,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Go,
    /// It fails without reaching the store.
    Refuse,
    /// The store does what it is asked for, and its answer gets lost.
    LoseAnswer,
}

/// One call stops here until the gate is opened. A dropped gate is open.
pub struct Gate(Arc<Latches>);

struct Latches {
    reached: Semaphore,
    opened: Semaphore,
}

impl Gate {
    fn new() -> Self {
        Self(Arc::new(Latches { reached: Semaphore::new(0), opened: Semaphore::new(0) }))
    }

    /// Until a call stands at the gate. With the clock paused the limit is over as soon as nothing
    /// else can happen.
    pub async fn reached(&self) {
        let reached = tokio::time::timeout(Duration::from_secs(60), self.0.reached.acquire()).await;
        reached.expect("no call came to the gate").expect("never closed").forget();
    }

    pub fn open(&self) {
        self.0.opened.add_permits(1);
    }
}

impl Latches {
    async fn pass(&self) {
        self.reached.add_permits(1);
        self.opened.acquire().await.expect("never closed").forget();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

impl<Op> Clone for Script<Op> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<Op> Default for Script<Op> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Lines {
            before: Vec::new(),
            after: Vec::new(),
            next: VecDeque::new(),
            refusing: Vec::new(),
            calls: Vec::new(),
        })))
    }
}

impl<Op: Copy + PartialEq + Debug> Script<Op> {
    fn lines(&self) -> MutexGuard<'_, Lines<Op>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next call of `op` but `skip` stops before the store sees it.
    pub fn gate_before(&self, op: Op, skip: usize) -> Gate {
        let gate = Gate::new();
        self.lines().before.push((op, skip, gate.0.clone()));
        gate
    }

    /// The next call of `op` but `skip` stops after the store has done it.
    pub fn gate_after(&self, op: Op, skip: usize) -> Gate {
        let gate = Gate::new();
        self.lines().after.push((op, skip, gate.0.clone()));
        gate
    }

    /// The next call of `op` fails without reaching the store.
    pub fn fail_next(&self, op: Op) {
        self.lines().next.push_back((op, Mishap::Error));
    }

    /// The next call of `op` panics without reaching the store.
    pub fn panic_next(&self, op: Op) {
        self.lines().next.push_back((op, Mishap::Panic));
    }

    /// The next call of `op` is done by the store and fails all the same.
    pub fn lose_next_answer(&self, op: Op) {
        self.lines().next.push_back((op, Mishap::AnswerLost));
    }

    /// Every call of `op` fails until [`accept`](Self::accept).
    pub fn refuse(&self, op: Op) {
        self.lines().refusing.push(op);
    }

    pub fn accept(&self, op: Op) {
        self.lines().refusing.retain(|refused| *refused != op);
    }

    pub fn calls(&self, op: Op) -> usize {
        self.lines().calls.iter().filter(|call| **call == op).count()
    }

    pub async fn enter(&self, op: Op) -> Verdict {
        let (mishap, gate) = {
            let mut lines = self.lines();
            lines.calls.push(op);
            let mishap = match lines.next.iter().position(|(at, _)| *at == op) {
                Some(index) => lines.next.remove(index).map(|(_, mishap)| mishap),
                None => lines.refusing.contains(&op).then_some(Mishap::Error),
            };
            (mishap, take(&mut lines.before, op))
        };
        if let Some(gate) = gate {
            gate.pass().await;
        }
        match mishap {
            None => Verdict::Go,
            Some(Mishap::Error) => Verdict::Refuse,
            Some(Mishap::AnswerLost) => Verdict::LoseAnswer,
            Some(Mishap::Panic) => panic!("the store panics on purpose"),
        }
    }

    pub async fn leave(&self, op: Op) {
        let gate = take(&mut self.lines().after, op);
        if let Some(gate) = gate {
            gate.pass().await;
        }
    }
}

/// Calls of all stores of this process: those of other tests make `settle` wait a little longer, no
/// more.
static BUSY: AtomicUsize = AtomicUsize::new(0);

pub async fn busy<T>(call: impl Future<Output = T>) -> T {
    struct Done;
    impl Drop for Done {
        fn drop(&mut self) {
            BUSY.fetch_sub(1, Ordering::SeqCst);
        }
    }
    BUSY.fetch_add(1, Ordering::SeqCst);
    let _done = Done;
    call.await
}

fn take<Op: PartialEq>(gates: &mut Vec<(Op, usize, Arc<Latches>)>, op: Op) -> Option<Arc<Latches>> {
    for (index, (at, skip, _)) in gates.iter_mut().enumerate() {
        if *at != op {
            continue;
        }
        if *skip == 0 {
            return Some(gates.remove(index).2);
        }
        *skip -= 1;
    }
    None
}

/// Polls everything that can run until nothing moves any more: no task of this thread's runtime,
/// and no call of a store that works on a thread of its own.
pub async fn settle() {
    let mut quiet = 0;
    while quiet < 100 {
        tokio::task::yield_now().await;
        quiet = if BUSY.load(Ordering::SeqCst) > 0 { 0 } else { quiet + 1 };
    }
}
