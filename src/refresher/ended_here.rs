//! Which logins have ended, as far as this process knows.
//!
//! A mark stands from the moment the ending begins, so that nothing of that login is served by this
//! process from then on. It stays for ten minutes, or longer where a refresh may take longer, and
//! for as long as the token store has not taken the ending. After that the token record says so.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use dashmap::{DashMap, Entry};
use rustc_hash::FxBuildHasher;

use crate::{clock::Clock, token_store::Ending, tokens::RecordKey};

const STAYS: Duration = Duration::from_secs(10 * 60);
const SWEEP_EVERY: Duration = Duration::from_secs(10);

pub(super) struct EndedHere {
    marks: DashMap<RecordKey, Mark, FxBuildHasher>,
    /// How many of them end sessions: mostly none, and then nobody has to look.
    with_session: AtomicUsize,
    clock: Clock,
    stays: Duration,
    swept_at: AtomicU64,
}

struct Mark {
    ending: Ending,
    at: Duration,
    stored: bool,
}

impl EndedHere {
    /// `longest`: nothing that began before an ending runs for longer after it.
    pub(super) fn new(clock: Clock, longest: Duration) -> Self {
        let swept_at = AtomicU64::new(clock.monotonic().as_secs());
        Self {
            marks: DashMap::default(),
            with_session: AtomicUsize::new(0),
            clock,
            stays: STAYS.max(longest),
            swept_at,
        }
    }

    /// Marks a login as ended. The first ending stays, but its sessions end as soon as any ending says
    /// so. `stored`: the token store knows it.
    pub(super) fn mark(&self, key: RecordKey, ending: Ending, stored: bool) {
        self.sweep_if_due();
        match self.marks.entry(key) {
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                known.stored |= stored;
                if ending.with_session && !known.ending.with_session {
                    known.ending.with_session = true;
                    self.with_session.fetch_add(1, Ordering::Relaxed);
                }
            }
            Entry::Vacant(place) => {
                if ending.with_session {
                    self.with_session.fetch_add(1, Ordering::Relaxed);
                }
                place.insert(Mark { ending, at: self.clock.monotonic(), stored });
            }
        }
    }

    /// The token store has taken the ending.
    pub(super) fn note_stored(&self, key: RecordKey) {
        if let Some(mut mark) = self.marks.get_mut(&key) {
            mark.stored = true;
        }
    }

    pub(super) fn get(&self, key: RecordKey) -> Option<Ending> {
        self.marks.get(&key).map(|mark| mark.ending)
    }

    /// Whether any login is known that ended together with its sessions.
    pub(super) fn any_with_session(&self) -> bool {
        self.with_session.load(Ordering::Relaxed) > 0
    }

    fn sweep_if_due(&self) {
        let now = self.clock.monotonic();
        let swept_at = self.swept_at.load(Ordering::Relaxed);
        let due = now.saturating_sub(Duration::from_secs(swept_at)) >= SWEEP_EVERY;
        let (order, seconds) = (Ordering::Relaxed, now.as_secs());
        if due && self.swept_at.compare_exchange(swept_at, seconds, order, order).is_ok() {
            self.marks.retain(|_, mark| {
                let stays = !mark.stored || now.saturating_sub(mark.at) < self.stays;
                if !stays && mark.ending.with_session {
                    self.with_session.fetch_sub(1, Ordering::Relaxed);
                }
                stays
            });
        }
    }
}
