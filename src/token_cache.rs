//! The access tokens that this process knows, by grant id.
//!
//! It is bounded, and may lose any entry at any moment: whoever misses one reads the token record.
//! Only the newest generation of a grant goes in. Tokens that nobody has asked for between two
//! sweeps, at least a minute apart, go out.

use std::{fmt, sync::Arc, time::Duration};

use quick_cache::{
    Weighter,
    sync::{Cache, DefaultLifecycle, EntryAction, EntryResult},
};
use rustc_hash::FxBuildHasher;

use crate::{
    clock::{Clock, Moment, Throttle},
    tokens::{CachedToken, GrantId},
};

const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// What an entry takes beside its token.
const OVERHEAD: usize = 64;

pub(crate) struct TokenCache {
    /// Hashed fast: the ids are random and nobody outside chooses them.
    tokens: Cache<GrantId, Arc<CachedToken>, Weight, FxBuildHasher>,
    clock: Clock,
    sweep: Throttle,
}

#[derive(Clone)]
struct Weight;

impl Weighter<GrantId, Arc<CachedToken>> for Weight {
    fn weight(&self, _id: &GrantId, token: &Arc<CachedToken>) -> u64 {
        (token.weight() + OVERHEAD) as u64
    }
}

impl TokenCache {
    pub(crate) fn new(clock: Clock, bytes: usize) -> Self {
        let about = bytes / 4096;
        let hasher = FxBuildHasher;
        let tokens =
            Cache::with(about.max(1), bytes as u64, Weight, hasher, DefaultLifecycle::default());
        let sweep = Throttle::new(SWEEP_EVERY, &clock);
        Self { tokens, clock, sweep }
    }

    pub(crate) fn get(&self, grant: GrantId) -> Option<Arc<CachedToken>> {
        let token = self.tokens.get(&grant)?;
        token.note_use();
        Some(token)
    }

    /// A read of the token record that began at `began` has shown `token`. Gives the newest token
    /// known, which may be a later one. An earlier entry of the same generation stays, with the
    /// claims that it has decoded.
    pub(crate) fn put(
        &self,
        grant: GrantId,
        token: Arc<CachedToken>,
        began: Moment,
    ) -> Arc<CachedToken> {
        self.sweep_if_due();
        let entry = self.tokens.entry(&grant, None, |_, known| {
            if known.generation < token.generation {
                known.clone_from(&token);
            } else if known.generation == token.generation {
                known.confirm(began);
            }
            EntryAction::Retain(known.clone())
        });
        match entry {
            EntryResult::Retained(newest) => newest,
            EntryResult::Vacant(place) => {
                // Refused only where it is too heavy, or was removed meanwhile.
                let _ = place.insert(token.clone());
                token
            }
            _ => token,
        }
    }

    pub(crate) fn remove(&self, grant: GrantId) {
        self.tokens.remove(&grant);
    }

    /// Removes `token`, unless a newer one has taken its place.
    pub(crate) fn remove_token(&self, grant: GrantId, token: &CachedToken) {
        self.tokens.remove_if(&grant, |known| known.generation <= token.generation);
    }

    /// How many tokens there are, and about how many bytes they take.
    pub(crate) fn usage(&self) -> (usize, usize) {
        (self.tokens.len(), usize::try_from(self.tokens.weight()).unwrap_or(usize::MAX))
    }

    /// Runs when the cache may grow; the fast path never pays for it.
    fn sweep_if_due(&self) {
        if self.sweep.is_due(self.clock.monotonic()) {
            self.tokens.retain(|_, token| token.take_use());
        }
    }
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tokens, bytes) = self.usage();
        f.debug_struct("TokenCache").field("tokens", &tokens).field("bytes", &bytes).finish()
    }
}

#[cfg(test)]
mod tests;
