//! Warns once if another process writes to a token store that serves one process only. A second
//! instance is usually added by somebody who has not read the docs.
//!
//! It shows when a record is read that is newer than what this process held before, and that this
//! process did not write itself.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{Core, records::Found};
use crate::tokens::Generation;

#[derive(Default)]
pub(super) struct OneProcess {
    has_warned: AtomicBool,
}

impl OneProcess {
    /// `held`: what this process had of the login before the read that has `found` this.
    pub(super) fn check(&self, core: &Core, held: Option<Generation>, found: &Found) {
        let (key, generation) = (found.key, found.tokens.generation);
        if core.records.compares_and_swaps()
            || held.is_none_or(|held| held >= generation)
            || core.unsaved.pending(key).is_some_and(|write| write.tokens.generation >= generation)
            || core.writes.has_written(key, generation)
        {
            return;
        }
        core.meter.second_process();
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                login = %key,
                "another process has refreshed a login in this token store, which is safe for one \
                 process only: if two refresh a login at once, its user is logged out. Give all \
                 processes a token store that compares and swaps, such as `Redis::tokens` or \
                 `PostgresTokens` (logged once)"
            );
        }
    }
}
