//! That a logout token counts once.
//!
//! Whoever gets hold of a token that names a user could otherwise end that user's next logins with it. This process remembers the tokens
//! it has taken for longer than their `iat` lets them pass; the index's store remembers them for the other processes. Two processes that
//! get one token at the same moment both take it, which ends the same logins.
//!
//! A token that comes again while it is still at work is told to come once more later: it is used up only when the work is done, and
//! the work may fail.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tower_sessions::{session::Id, session_store::Error};

use super::{index::Index, token::WINDOW};
use crate::{clock::Clock, endpoint::LEEWAY};

/// Only tokens that the provider has signed are remembered. Beyond this many within some minutes, the oldest are left to the store.
const REMEMBERED: usize = 10_000;

/// The tokens taken lately.
pub(crate) struct Seen {
    tokens: Arc<Mutex<Tokens>>,
    clock: Clock,
    index: Index,
}

type Tokens = HashMap<Id, Sighting>;

struct Sighting {
    /// By the clock's monotonic side.
    until: Duration,
    work: Work,
}

/// How far a token that came before has got.
#[derive(Clone, Copy)]
pub(crate) enum Work {
    UnderWay,
    Done,
}

/// A token that is being worked on. Forgotten again unless it is [kept](Taken::keep): the provider may send it once more.
pub(crate) struct Taken {
    tokens: Arc<Mutex<Tokens>>,
    token: Option<Id>,
}

impl Seen {
    pub(super) fn new(clock: Clock, index: Index) -> Self {
        Self { tokens: Arc::default(), clock, index }
    }

    /// The token, or what has become of it before.
    pub(crate) async fn take(&self, issuer: &str, jti: &str) -> Result<Result<Taken, Work>, Error> {
        let token = self.index.token(issuer, jti);
        if let Some(work) = self.insert(token) {
            return Ok(Err(work));
        }
        let taken = Taken { tokens: self.tokens.clone(), token: Some(token) };
        let elsewhere = self.index.is_marked(token).await?;
        Ok(if elsewhere { Err(Work::Done) } else { Ok(taken) })
    }

    /// The token has done its work.
    pub(crate) async fn keep(&self, taken: Taken) -> Result<(), Error> {
        match taken.keep() {
            Some(token) => self.index.mark(token, stays()).await,
            None => Ok(()),
        }
    }

    /// What is known of the token. If that is nothing, it is at work from now on.
    fn insert(&self, token: Id) -> Option<Work> {
        let now = self.clock.monotonic();
        let mut tokens = lock(&self.tokens);
        tokens.retain(|_, sighting| sighting.until > now);
        if let Some(sighting) = tokens.get(&token) {
            return Some(sighting.work);
        }
        if tokens.len() >= REMEMBERED
            && let Some(oldest) =
                tokens.iter().min_by_key(|(_, sighting)| sighting.until).map(|(token, _)| *token)
        {
            tokens.remove(&oldest);
        }
        tokens.insert(token, Sighting { until: now + stays(), work: Work::UnderWay });
        None
    }
}

impl Taken {
    fn keep(mut self) -> Option<Id> {
        let token = self.token.take()?;
        if let Some(sighting) = lock(&self.tokens).get_mut(&token) {
            sighting.work = Work::Done;
        }
        Some(token)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(token) = self.token.take() {
            lock(&self.tokens).remove(&token);
        }
    }
}

/// A token may be dated ahead by the leeway, and pass until it is older than the window by the leeway.
fn stays() -> Duration {
    WINDOW + 2 * LEEWAY + Duration::from_secs(1)
}

fn lock(tokens: &Mutex<Tokens>) -> MutexGuard<'_, Tokens> {
    tokens.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::hmac::{HMAC_SHA256, Key};
    use tower_sessions::MemoryStore;

    use super::*;

    #[tokio::test]
    async fn the_memory_is_bounded_and_the_oldest_go_first() {
        let index = Index::new(Arc::new(MemoryStore::default()), Key::new(HMAC_SHA256, &[7; 32]));
        let clock = Clock::system();
        let soon = clock.monotonic() + stays();
        let seen = Seen::new(clock, index);
        let sighting =
            |nth| Sighting { until: soon + Duration::from_nanos(nth as u64), work: Work::Done };
        let full = (0..REMEMBERED).map(|nth| (Id(nth as i128), sighting(nth)));
        lock(&seen.tokens).extend(full);

        let taken = seen.take("https://id.example", "one more").await.expect("the store answers");

        let tokens = lock(&seen.tokens);
        assert!(taken.is_ok());
        assert_eq!(tokens.len(), REMEMBERED);
        assert!(!tokens.contains_key(&Id(0)) && tokens.contains_key(&Id(1)));
    }
}
