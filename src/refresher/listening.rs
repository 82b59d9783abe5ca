//! What the token store tells of other processes: a login has ended, or its refresh has.
//!
//! Nothing relies on it. An ending that nobody hears of is found when the record is next read, and
//! a flight that waits for another process looks at the record again after a while. Being told is
//! faster, and spares the store most of the looks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dashmap::DashMap;
use rustc_hash::FxBuildHasher;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    Core,
    ending::{Endings, Login},
};
use crate::{
    error::{Chain, RefreshError},
    keep_listening::keep_listening,
    token_store::{Ending, RecordListener},
    tokens::RecordKey,
};

/// How long a flight leaves another process's refresh alone between two looks, while nobody tells
/// it.
const FIRST_POLL_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_POLL_PAUSE: Duration = Duration::from_secs(1);

/// One per refresher. It stops when it is dropped.
pub(super) struct Listening {
    waiting: Arc<WaitingFlights>,
    has_begun: AtomicBool,
    stop: CancellationToken,
    _stops: DropGuard,
}

/// The flights that wait for another process: one of a login at the most.
#[derive(Default)]
struct WaitingFlights {
    flights: DashMap<RecordKey, Arc<Notify>, FxBuildHasher>,
    is_subscribed: AtomicBool,
}

/// Whom the store tells.
struct Listener {
    endings: Arc<Endings>,
    waiting: Arc<WaitingFlights>,
}

impl Listening {
    pub(super) fn new(closing: &CancellationToken) -> Self {
        let stop = closing.child_token();
        let (waiting, has_begun) = (Arc::default(), AtomicBool::new(false));
        Self { waiting, has_begun, _stops: stop.clone().drop_guard(), stop }
    }

    /// Begins to listen, unless it has. Not when the refresher is built: that needs no runtime.
    pub(super) fn begin(&self, core: &Core) {
        if self.has_begun.load(Ordering::Relaxed) || self.has_begun.swap(true, Ordering::Relaxed) {
            return;
        }
        let (records, stop) = (core.records.clone(), self.stop.clone());
        let listener = Listener { endings: core.endings.clone(), waiting: self.waiting.clone() };
        core.tasks.spawn(async move {
            stop.run_until_cancelled(async move {
                let listen = || records.listen(&listener);
                let say = |error: &RefreshError| {
                    tracing::warn!(
                        error = %Chain(error),
                        "the token store does not tell what other processes do; until it does, their \
                         endings and refreshes are noticed later"
                    );
                };
                keep_listening(&listener.waiting.is_subscribed, listen, say).await;
            })
            .await;
        });
    }

    /// Begins to hear of one login. What happens from now on is not missed.
    pub(super) fn hear_of(&self, key: RecordKey) -> Hearing<'_> {
        let changed = self.waiting.flights.entry(key).or_default().clone();
        let pause = FIRST_POLL_PAUSE;
        Hearing { waiting: &self.waiting, key, changed, pause }
    }
}

/// A flight that may have to wait for another process.
pub(super) struct Hearing<'a> {
    waiting: &'a WaitingFlights,
    key: RecordKey,
    changed: Arc<Notify>,
    pause: Duration,
}

impl Hearing<'_> {
    /// Returns when it is time to look at the record again: at once if there was something to hear
    /// since the last call, and after `at_most` in any case.
    pub(super) async fn time_to_look(&mut self, at_most: Duration) {
        if self.waiting.is_subscribed.load(Ordering::Relaxed) {
            self.pause = LONGEST_POLL_PAUSE;
        }
        let _elapsed = tokio::time::timeout(self.pause.min(at_most), self.changed.notified()).await;
        self.pause = (self.pause * 2).min(LONGEST_POLL_PAUSE);
    }
}

impl Drop for Hearing<'_> {
    fn drop(&mut self) {
        self.waiting.flights.remove(&self.key);
    }
}

impl WaitingFlights {
    fn wake(&self, key: RecordKey) {
        if let Some(changed) = self.flights.get(&key) {
            changed.notify_one();
        }
    }
}

impl RecordListener for Listener {
    fn listening(&self) {
        self.waiting.is_subscribed.store(true, Ordering::Relaxed);
        // What happened before was not told.
        for flight in &self.waiting.flights {
            flight.notify_one();
        }
    }

    fn changed(&self, key: RecordKey) {
        self.waiting.wake(key);
    }

    fn ended(&self, key: RecordKey, ending: Ending) {
        self.endings.learn(Login { key, grant: None }, ending);
        self.waiting.wake(key);
    }
}
