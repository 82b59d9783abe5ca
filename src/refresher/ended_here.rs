//! Which logins have ended, as far as this process knows.
//!
//! A mark stands from the moment the ending begins, so that nothing of that login is served by this
//! process from then on. It stays until the token store has taken the ending, and for ten minutes
//! after that, or longer where a refresh may take longer. Then the token record says so alone.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dashmap::{DashMap, Entry};
use rustc_hash::FxBuildHasher;

use super::watchers::Watchers;
use crate::{
    clock::{Clock, Throttle},
    session::EndedSessions,
    token_store::Ending,
    tokens::{GrantId, RecordKey},
};

const STAYS: Duration = Duration::from_secs(10 * 60);
const SWEEP_EVERY: Duration = Duration::from_secs(10);

pub(super) struct EndedHere {
    marks: DashMap<RecordKey, Mark, FxBuildHasher>,
    /// How many of them end sessions: mostly none, and then nobody has to look.
    with_session: AtomicUsize,
    watchers: Arc<Watchers>,
    clock: Clock,
    stays: Duration,
    sweep: Throttle,
}

struct Mark {
    ending: Ending,
    /// When it was set, or when the token store took the ending: what was read before then may
    /// still be on its way.
    at: Duration,
    stored: bool,
}

impl Mark {
    fn note_stored(&mut self, clock: &Clock) {
        if !std::mem::replace(&mut self.stored, true) {
            self.at = clock.monotonic();
        }
    }
}

impl EndedHere {
    /// `longest`: nothing that began before an ending runs for longer after it.
    pub(super) fn new(clock: Clock, longest: Duration, watchers: Arc<Watchers>) -> Self {
        let sweep = Throttle::new(SWEEP_EVERY, &clock);
        Self {
            marks: DashMap::default(),
            with_session: AtomicUsize::new(0),
            watchers,
            clock,
            stays: STAYS.max(longest),
            sweep,
        }
    }

    /// Marks a login as ended. The first ending stays; but where the token store has another one that
    /// ends the sessions as well, they end. `stored`: the token store knows it.
    pub(super) fn mark(&self, key: RecordKey, ending: Ending, stored: bool) {
        self.sweep_if_due();
        match self.marks.entry(key) {
            Entry::Occupied(mut known) if stored => {
                let known = known.get_mut();
                known.note_stored(&self.clock);
                if ending.with_session && !std::mem::replace(&mut known.ending.with_session, true) {
                    self.with_session.fetch_add(1, Ordering::Relaxed);
                }
            }
            Entry::Occupied(_) => {}
            Entry::Vacant(place) => {
                if ending.with_session {
                    self.with_session.fetch_add(1, Ordering::Relaxed);
                }
                place.insert(Mark { ending, at: self.clock.monotonic(), stored });
                self.watchers.ended(key);
            }
        }
    }

    /// The token store has taken the ending.
    pub(super) fn note_stored(&self, key: RecordKey) {
        if let Some(mut mark) = self.marks.get_mut(&key) {
            mark.note_stored(&self.clock);
        }
    }

    pub(super) fn get(&self, key: RecordKey) -> Option<Ending> {
        self.marks.get(&key).map(|mark| mark.ending)
    }

    fn sweep_if_due(&self) {
        let now = self.clock.monotonic();
        if self.sweep.is_due(now) {
            self.marks.retain(|_, mark| {
                let stays = !mark.stored || now.saturating_sub(mark.at) < self.stays;
                if !stays && mark.ending.with_session {
                    self.with_session.fetch_sub(1, Ordering::Relaxed);
                }
                stays
            });
            self.marks.shrink_to_fit();
        }
    }
}

impl EndedSessions for Arc<EndedHere> {
    fn any(&self) -> bool {
        self.with_session.load(Ordering::Relaxed) > 0
    }

    fn contains(&self, grant: GrantId) -> bool {
        self.get(RecordKey::of(grant)).is_some_and(|ending| ending.with_session)
    }
}

#[cfg(test)]
mod tests;
