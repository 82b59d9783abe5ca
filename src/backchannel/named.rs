//! What logout tokens have named lately.
//!
//! A login that is under way is in nobody's index yet, so a logout token that comes then does not find it. The log in therefore looks
//! here after it has noted its login: either the one sees the name, or the other the note.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tower_sessions::session::Id;

use super::index::{Index, Named};
use crate::{clock::Clock, grant::HeldSet};

/// Longer than a log in takes between its first step and its note.
const STAYS: Duration = Duration::from_secs(60);

/// Holds one minute's names, each from a token that the provider has signed.
pub(crate) struct NamedLately {
    names: Mutex<Names>,
    clock: Clock,
    index: Index,
}

/// Between two tokens: clocks may stand still from one to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

struct Names {
    now: Moment,
    /// When each was named last, and until when that is kept, by the clock's monotonic side.
    named: HashMap<Id, (Moment, Duration)>,
}

impl NamedLately {
    pub(super) fn new(clock: Clock, index: Index) -> Self {
        let names = Names { now: Moment(0), named: HashMap::new() };
        Self { names: Mutex::new(names), clock, index }
    }

    pub(crate) fn now(&self) -> Moment {
        self.lock().now
    }

    /// A logout token names these logins. To be called before they are looked for.
    pub(crate) fn remember(&self, issuer: &str, named: Named<'_>) {
        let now = self.clock.monotonic();
        let mut names = self.lock();
        names.named.retain(|_, (_, until)| *until > now);
        names.now.0 += 1;
        let moment = names.now;
        names.named.insert(self.index.id_of(issuer, named), (moment, now + STAYS));
    }

    /// Whether a logout token has named the login of `set` after `moment`. To be asked after it was noted.
    pub(crate) fn has_named_since(&self, moment: Moment, set: &HeldSet) -> bool {
        let names = self.lock();
        let named_at = |id| names.named.get(&id).map(|(named_at, _)| *named_at);
        self.index.ids_of(set).into_iter().filter_map(named_at).any(|named_at| named_at > moment)
    }

    fn lock(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aws_lc_rs::hmac::{HMAC_SHA256, Key};
    use tower_sessions::MemoryStore;

    use super::*;
    use crate::testing::ManualClock;

    #[test]
    fn a_name_is_kept_for_a_minute_since_it_was_last_named() {
        let index = Index::new(Arc::new(MemoryStore::default()), Key::new(HMAC_SHA256, &[7; 32]));
        let clock = ManualClock::new();
        let lately = NamedLately::new(clock.clock(), index);

        for user in ["alice", "bob", "alice"] {
            lately.remember("https://id.example", Named::User(user));
            clock.advance(STAYS / 2);
        }
        lately.remember("https://id.example", Named::User("carol"));

        assert_eq!(lately.lock().named.len(), 2, "alice and carol");
    }
}
