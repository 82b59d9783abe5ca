//! What is kept of each login, how many there are of which the store has refused something, and
//! which of them has a task that writes.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use dashmap::{DashMap, Entry};
use rustc_hash::FxBuildHasher;

use super::super::writes::Write;
use crate::{
    token_store::Ending,
    tokens::{Generation, RecordKey},
};

pub(super) struct Kept {
    by_login: DashMap<RecordKey, OfLogin, FxBuildHasher>,
    refused: Refused,
}

/// Of one login.
#[derive(Default)]
struct OfLogin {
    set: Option<Arc<Write>>,
    /// Since when, by the monotonic clock.
    since: Duration,
    ending: Option<Ending>,
    /// The store has refused some of it before.
    is_refused: bool,
    /// A task tries to write it.
    has_writer: bool,
}

/// What there is to write of a login.
pub(super) struct Pending {
    pub(super) set: Option<Arc<Write>>,
    pub(super) since: Duration,
    pub(super) ending: Option<Ending>,
}

/// How many logins there are of which the store has refused something. A change and its report are
/// one step: or the last report could be that of an earlier change, and stand for ever.
struct Refused {
    logins: Mutex<usize>,
    report: Box<dyn Fn(usize) + Send + Sync>,
}

/// What the task holds that writes. However it ends, by a panic too, the next refusal starts
/// another one.
pub(super) struct Writer<'a> {
    kept: &'a Kept,
    key: RecordKey,
    /// The login has another writer now, or none.
    has_stopped: bool,
}

impl OfLogin {
    fn is_pending(&self) -> bool {
        self.set.is_some() || self.ending.is_some()
    }
}

impl Refused {
    fn change(&self, before: bool, after: bool) {
        if before != after {
            let mut logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
            *logins = if after { *logins + 1 } else { logins.saturating_sub(1) };
            (self.report)(*logins);
        }
    }
}

impl Kept {
    /// `report` is told how many logins there are, whenever that changes.
    pub(super) fn new(report: impl Fn(usize) + Send + Sync + 'static) -> Self {
        let refused = Refused { logins: Mutex::default(), report: Box::new(report) };
        Self { by_login: DashMap::default(), refused }
    }

    pub(super) fn keep(&self, write: Arc<Write>, now: Duration) {
        self.change(write.key, |kept| (kept.set, kept.since) = (Some(write), now));
    }

    /// An earlier ending stays.
    pub(super) fn keep_ending(&self, key: RecordKey, ending: Ending) {
        self.change(key, |kept| _ = kept.ending.get_or_insert(ending));
    }

    /// The store has refused what is kept. True if that login needs a task that writes it.
    pub(super) fn refused(&self, key: RecordKey) -> bool {
        let mut had_writer = false;
        self.change(key, |kept| {
            kept.is_refused = true;
            had_writer = std::mem::replace(&mut kept.has_writer, true);
        });
        !had_writer
    }

    /// The task that [`refused`](Self::refused) has asked for.
    pub(super) fn writer(&self, key: RecordKey) -> Writer<'_> {
        Writer { kept: self, key, has_stopped: false }
    }

    pub(super) fn get(&self, key: RecordKey) -> Option<Pending> {
        let kept = self.by_login.get(&key)?;
        Some(Pending { set: kept.set.clone(), since: kept.since, ending: kept.ending })
    }

    /// The store has the set of `generation`, or must not have it.
    pub(super) fn release(&self, key: RecordKey, generation: Generation) {
        self.settle(key, |kept| {
            kept.set.take_if(|set| set.tokens.generation <= generation);
        });
    }

    /// The store has the ending, which takes the place of `set`. A flight may have brought a newer
    /// one since: the store will say that it is too late.
    pub(super) fn release_ending(&self, key: RecordKey, set: Option<&Arc<Write>>) {
        self.settle(key, |kept| {
            kept.ending = None;
            kept.set.take_if(|kept| set.is_some_and(|set| Arc::ptr_eq(kept, set)));
        });
    }

    /// How many logins there are of which the store has refused something so far.
    pub(super) fn count(&self) -> usize {
        *self.refused.logins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, key: RecordKey, change: impl FnOnce(&mut OfLogin)) {
        let mut kept = self.by_login.entry(key).or_default();
        self.change_of(&mut kept, change);
    }

    /// As [`change`](Self::change), and the login is forgotten when nothing is left. A writer does
    /// that itself.
    fn settle(&self, key: RecordKey, change: impl FnOnce(&mut OfLogin)) {
        let Entry::Occupied(mut kept) = self.by_login.entry(key) else { return };
        self.change_of(kept.get_mut(), change);
        if !kept.get().is_pending() && !kept.get().has_writer {
            kept.remove();
        }
    }

    fn change_of(&self, kept: &mut OfLogin, change: impl FnOnce(&mut OfLogin)) {
        let before = kept.is_refused;
        change(kept);
        kept.is_refused &= kept.is_pending();
        self.refused.change(before, kept.is_refused);
    }
}

impl Writer<'_> {
    /// Whether nothing came in the meantime: this task has nothing left to do then.
    pub(super) fn stop(&mut self) -> bool {
        self.has_stopped = match self.kept.by_login.entry(self.key) {
            Entry::Occupied(kept) if kept.get().is_pending() => false,
            Entry::Occupied(kept) => {
                kept.remove();
                true
            }
            Entry::Vacant(_) => true,
        };
        self.has_stopped
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        // Whoever has come since is not ours to stop.
        if !self.has_stopped {
            self.kept.settle(self.key, |kept| kept.has_writer = false);
        }
    }
}

#[cfg(test)]
mod tests;
