//! The last token sets that this process has stored, for as long as a store may lose them.
//!
//! A store that fails over to a replica may come back without its last write. The record then shows
//! a refresh token that has been used up, and presenting it would end the login. Whoever reads such
//! a record finds the newer one here and writes it again.

use std::time::Duration;

use dashmap::{DashMap, Entry};
use rustc_hash::FxBuildHasher;

use crate::{
    clock::{Clock, Throttle},
    token_store::TokenRecord,
    tokens::RecordKey,
};

const SWEEP_EVERY: Duration = Duration::from_secs(10);

pub(super) struct LastWrites {
    writes: DashMap<RecordKey, Write, FxBuildHasher>,
    clock: Clock,
    stays: Duration,
    sweep: Throttle,
}

struct Write {
    /// As it was stored, sealed if it was. A text takes less memory than a record.
    text: Box<str>,
    generation: u64,
    at: Duration,
}

impl Write {
    fn is_too_old(&self, now: Duration, stays: Duration) -> bool {
        now.saturating_sub(self.at) >= stays
    }
}

impl LastWrites {
    pub(super) fn new(clock: Clock, stays: Duration) -> Self {
        let sweep = Throttle::new(SWEEP_EVERY, &clock);
        Self { writes: DashMap::default(), clock, stays, sweep }
    }

    /// The store has taken `record`. A newer one stays: answers may come out of order.
    pub(super) fn keep(&self, key: RecordKey, record: &TokenRecord) {
        self.sweep_if_due();
        let (text, at) = (record.to_text().into_boxed_str(), self.clock.monotonic());
        let write = Write { text, generation: record.generation(), at };
        match self.writes.entry(key) {
            Entry::Occupied(known)
                if known.get().generation > write.generation
                    && !known.get().is_too_old(at, self.stays) => {}
            Entry::Occupied(mut known) => {
                known.insert(write);
            }
            Entry::Vacant(place) => {
                place.insert(write);
            }
        }
    }

    /// The last record of `key`, if this process wrote it lately.
    pub(super) fn get(&self, key: RecordKey) -> Option<TokenRecord> {
        let write = self.writes.get(&key)?;
        if write.is_too_old(self.clock.monotonic(), self.stays) {
            return None;
        }
        TokenRecord::from_text(&write.text).ok()
    }

    pub(super) fn forget(&self, key: RecordKey) {
        self.writes.remove(&key);
    }

    /// About how many bytes are held.
    pub(super) fn bytes(&self) -> usize {
        self.writes.iter().map(|write| write.text.len()).sum()
    }

    fn sweep_if_due(&self) {
        let now = self.clock.monotonic();
        if self.sweep.is_due(now) {
            self.writes.retain(|_, write| !write.is_too_old(now, self.stays));
            self.writes.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests;
