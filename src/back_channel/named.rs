//! The names in the logout tokens of the last minute.
//!
//! A login that is being made may not be in the token store yet, so a logout token that comes then
//! does not find it. So a login looks here after it has stored its record: either the one
//! sees the name, or the other the login.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{clock::Clock, token_store::NameKey};

/// A name is kept for longer than a login takes, and at least this long.
const STAYS: Duration = Duration::from_secs(60);

/// Holds a minute's names, each from a token that the provider has signed.
pub(crate) struct NamedLately {
    names: Mutex<Names>,
    clock: Clock,
    stays: Duration,
}

/// Between two tokens: clocks may stand still from one to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(u64);

struct Names {
    now: Tick,
    /// When each was named last, and until when that is kept, by the clock's monotonic side.
    named: HashMap<NameKey, (Tick, Duration)>,
}

impl NamedLately {
    pub(super) fn new(clock: Clock, longest_log_in: Duration) -> Self {
        let names = Names { now: Tick(0), named: HashMap::new() };
        let stays = STAYS.max(longest_log_in);
        Self { names: Mutex::new(names), clock, stays }
    }

    pub(crate) fn now(&self) -> Tick {
        self.lock().now
    }

    /// A logout token names these logins. To be called before they are looked for.
    pub(crate) fn remember(&self, name: NameKey) {
        let now = self.clock.monotonic();
        let mut names = self.lock();
        names.named.retain(|_, (_, until)| *until > now);
        names.now.0 += 1;
        let tick = names.now;
        names.named.insert(name, (tick, now + self.stays));
    }

    /// Whether a logout token has named one of `names` after `began`. To be asked after the login
    /// was stored.
    pub(crate) fn has_named_since(&self, began: Tick, names: &[NameKey]) -> bool {
        let known = self.lock();
        names.iter().filter_map(|name| known.named.get(name)).any(|(named_at, _)| *named_at > began)
    }

    fn lock(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ManualClock;

    #[test]
    fn a_name_is_kept_for_a_minute_since_it_was_last_named() {
        let clock = ManualClock::new();
        let lately = NamedLately::new(clock.clock(), Duration::ZERO);
        let name = |first| NameKey::from_bytes([first; 16]);

        for user in [1, 2, 1] {
            lately.remember(name(user));
            clock.advance(STAYS / 2);
        }
        lately.remember(name(3));

        assert_eq!(lately.lock().named.len(), 2, "the first and the third");
    }
}
