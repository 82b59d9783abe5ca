//! A logout token counts once.
//!
//! Otherwise, whoever gets a token that names a user could end that user's next logins with it.
//! This process remembers a token for longer than its `iat` lets it pass. The token store remembers
//! it for the other processes. If two processes get one token at the same moment, both end the same
//! logins.
//!
//! A token that comes again while it is being carried out gets a 503: it is used up only when the
//! work is done, and the work may fail.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::logout_token::WINDOW;
use crate::{clock::Clock, endpoint::LEEWAY, tokens::RecordKey};

/// Only tokens that the provider has signed are remembered. Beyond this many within some minutes,
/// the oldest are left to the store.
const REMEMBERED: usize = 10_000;

/// The tokens of the last minutes.
pub(crate) struct ReplayCache {
    tokens: Arc<Mutex<Tokens>>,
    clock: Clock,
}

type Tokens = HashMap<RecordKey, Sighting>;

struct Sighting {
    /// By the clock's monotonic side.
    until: Duration,
    work: Work,
}

/// How far a token that came before has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    UnderWay,
    Done,
}

/// A token that is being carried out. Forgotten again unless it is [kept](Taken::keep): the
/// provider may send it once more.
pub(crate) struct Taken {
    tokens: Arc<Mutex<Tokens>>,
    token: Option<RecordKey>,
}

impl ReplayCache {
    pub(super) fn new(clock: Clock) -> Self {
        Self { tokens: Arc::default(), clock }
    }

    /// How long a token is remembered: it may be dated ahead by the leeway, and pass until it is
    /// older than the window by the leeway.
    pub(crate) fn stays() -> Duration {
        WINDOW + 2 * LEEWAY + Duration::from_secs(1)
    }

    /// The token, or what has become of it in this process before.
    pub(crate) fn take(&self, token: RecordKey) -> Result<Taken, Work> {
        let now = self.clock.monotonic();
        let mut tokens = lock(&self.tokens);
        tokens.retain(|_, sighting| sighting.until > now);
        if let Some(sighting) = tokens.get(&token) {
            return Err(sighting.work);
        }
        if tokens.len() >= REMEMBERED
            && let Some(oldest) =
                tokens.iter().min_by_key(|(_, sighting)| sighting.until).map(|(token, _)| *token)
        {
            tokens.remove(&oldest);
        }
        tokens.insert(token, Sighting { until: now + Self::stays(), work: Work::UnderWay });
        Ok(Taken { tokens: self.tokens.clone(), token: Some(token) })
    }
}

impl Taken {
    /// The token has done its work.
    pub(crate) fn keep(mut self) {
        if let Some(token) = self.token.take()
            && let Some(sighting) = lock(&self.tokens).get_mut(&token)
        {
            sighting.work = Work::Done;
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(token) = self.token.take() {
            lock(&self.tokens).remove(&token);
        }
    }
}

fn lock(tokens: &Mutex<Tokens>) -> MutexGuard<'_, Tokens> {
    tokens.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(nth: usize) -> RecordKey {
        RecordKey::from_bytes((nth as u128).to_be_bytes())
    }

    #[test]
    fn the_memory_is_bounded_and_the_oldest_go_first() {
        let clock = Clock::system();
        let soon = clock.monotonic() + ReplayCache::stays();
        let cache = ReplayCache::new(clock);
        let sighting =
            |nth| Sighting { until: soon + Duration::from_nanos(nth as u64), work: Work::Done };
        lock(&cache.tokens).extend((0..REMEMBERED).map(|nth| (key(nth), sighting(nth))));

        let taken = cache.take(key(REMEMBERED));

        let tokens = lock(&cache.tokens);
        assert!(taken.is_ok());
        assert_eq!(tokens.len(), REMEMBERED);
        assert!(!tokens.contains_key(&key(0)) && tokens.contains_key(&key(1)));
        drop(tokens);
    }
}
