//! Who waits for the next tokens of a login, or for its end.
//!
//! They are woken by what this process learns. What other processes do, they see when the token
//! record is next read, at least every `confirm_after`.

use std::sync::Arc;

use dashmap::DashMap;
use rustc_hash::FxBuildHasher;
use tokio::sync::{Notify, futures::Notified};

use crate::tokens::RecordKey;

#[derive(Default)]
pub(crate) struct Watchers(DashMap<RecordKey, Arc<Notify>, FxBuildHasher>);

/// One that watches a login.
pub(crate) struct Watch {
    watchers: Arc<Watchers>,
    key: RecordKey,
    /// None once it is dropped.
    changed: Option<Arc<Notify>>,
}

impl Watchers {
    pub(crate) fn watch(self: &Arc<Self>, key: RecordKey) -> Watch {
        let changed = self.0.entry(key).or_default().clone();
        Watch { watchers: self.clone(), key, changed: Some(changed) }
    }

    /// The login has new tokens, or has ended.
    pub(crate) fn wake(&self, key: RecordKey) {
        if let Some(changed) = self.0.get(&key) {
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
        self.watchers.0.remove_if(&self.key, |_, changed| Arc::strong_count(changed) == 1);
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
        assert_eq!(watchers.0.len(), 1, "the other one still watches");
        drop(other);
        assert_eq!(watchers.0.len(), 0);
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
            assert_eq!(watchers.0.len(), 0);
        }
    }
}
