//! What a refresher holds in memory.

use serde::Serialize;

use super::TokenRefresher;

/// What a [`TokenRefresher`](crate::TokenRefresher) holds in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Usage {
    /// Access tokens in the cache. Those that nobody asks for leave it within two minutes, as other
    /// tokens come in.
    pub cached_tokens: usize,
    /// About how many bytes they take; [`cache_bytes`](crate::TokenRefresherBuilder::cache_bytes)
    /// bounds it.
    pub cached_bytes: usize,
    /// About how many bytes the token records take that this process has written lately: within 90 s,
    /// or 1.5 times `confirm_after` if that is longer.
    pub last_write_bytes: usize,
    /// Logins of which the token store has refused new tokens or the end so far.
    pub unsaved: usize,
    /// Requests, and whoever holds [`LoginTokens`](crate::LoginTokens), that wait for a refresh.
    pub waiting: usize,
}

impl TokenRefresher {
    /// What this process holds in memory now. It takes longer with more logins.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let core = &self.0;
        let (cached_tokens, cached_bytes) = core.cache.usage();
        let last_write_bytes = core.writes.last_bytes();
        let (unsaved, waiting) = (core.unsaved.count(), core.flights.waiting());
        Usage { cached_tokens, cached_bytes, last_write_bytes, unsaved, waiting }
    }
}
