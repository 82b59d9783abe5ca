//! Who waits for the next tokens of a login, or for its end; and who keeps what goes with it.
//!
//! They are woken by what this process learns. What other processes do, they see when the token
//! record is next read, at least every `confirm_after`.

use std::sync::{Arc, PoisonError, RwLock, Weak};

use dashmap::DashMap;
use rustc_hash::FxBuildHasher;
use tokio::sync::{Notify, futures::Notified};

use crate::tokens::RecordKey;

#[derive(Default)]
pub(crate) struct Watchers {
    by_login: DashMap<RecordKey, Arc<Notify>, FxBuildHasher>,
    followers: RwLock<Vec<Weak<dyn Follower>>>,
}

/// Keeps what goes with a login.
pub(crate) trait Follower: Send + Sync {
    /// The login has ended, as far as this process knows.
    fn ended(&self, login: RecordKey);
}

/// One that watches a login.
pub(crate) struct Watch {
    watchers: Arc<Watchers>,
    key: RecordKey,
    /// None once it is dropped.
    changed: Option<Arc<Notify>>,
}

impl Watchers {
    pub(crate) fn watch(self: &Arc<Self>, key: RecordKey) -> Watch {
        let changed = self.by_login.entry(key).or_default().clone();
        Watch { watchers: self.clone(), key, changed: Some(changed) }
    }

    /// Tells `follower` of each ending from now on, for as long as it lives.
    pub(crate) fn follow(&self, follower: &Arc<impl Follower + 'static>) {
        let follower = Arc::downgrade(follower);
        let mut followers = self.followers.write().unwrap_or_else(PoisonError::into_inner);
        followers.retain(|follower| follower.strong_count() > 0);
        followers.push(follower);
    }

    /// The login has ended.
    pub(crate) fn ended(&self, key: RecordKey) {
        let followers = self.followers.read().unwrap_or_else(PoisonError::into_inner);
        followers.iter().filter_map(Weak::upgrade).for_each(|follower| follower.ended(key));
        self.wake(key);
    }

    /// The login has new tokens, or has ended.
    pub(crate) fn wake(&self, key: RecordKey) {
        if let Some(changed) = self.by_login.get(&key) {
            changed.notify_waiters();
        }
    }
}

impl Watch {
    /// What happens from now on ends this wait.
    pub(crate) fn next(&self) -> Notified<'_> {
        self.changed.as_ref().expect("only `drop` takes it").notified()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Before the count: of two that go at once, the later one must see only the map.
        drop(self.changed.take());
        // Nobody can begin to watch meanwhile.
        self.watchers.by_login.remove_if(&self.key, |_, changed| Arc::strong_count(changed) == 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: RecordKey = RecordKey::from_bytes([1; 16]);

    #[tokio::test]
    async fn all_who_watch_a_login_are_woken_also_by_what_happens_before_they_wait() {
        let watchers = Arc::new(Watchers::default());
        let (one, other) = (watchers.watch(KEY), watchers.watch(KEY));
        let (first, second) = (one.next(), other.next());
        watchers.wake(RecordKey::from_bytes([2; 16]));
        let mut first = std::pin::pin!(first);
        assert!(futures_util::poll!(first.as_mut()).is_pending(), "another login");
        watchers.wake(KEY);
        first.await;
        second.await;
    }

    #[test]
    fn nothing_is_kept_of_a_login_that_nobody_watches() {
        let watchers = Arc::new(Watchers::default());
        let (one, other) = (watchers.watch(KEY), watchers.watch(KEY));
        drop(one);
        assert_eq!(watchers.by_login.len(), 1, "the other one still watches");
        drop(other);
        assert_eq!(watchers.by_login.len(), 0);
    }

    #[test]
    fn nor_where_the_last_two_go_at_the_same_time() {
        let watchers = Arc::new(Watchers::default());
        for _ in 0..5_000 {
            let barrier = Arc::new(std::sync::Barrier::new(2));
            let threads = [(); 2].map(|()| {
                let (watch, barrier) = (watchers.watch(KEY), barrier.clone());
                std::thread::spawn(move || {
                    barrier.wait();
                    drop(watch);
                })
            });
            for thread in threads {
                thread.join().expect("no panic");
            }
            assert_eq!(watchers.by_login.len(), 0);
        }
    }
}
