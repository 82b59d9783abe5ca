//! What the token store has refused so far: new token sets and endings.
//!
//! The provider has used the old refresh token up, so a new set must not get lost; and an ending that
//! gets lost brings a login back with the next restart. Both are kept in memory until the store has
//! them. One task per login tries again after 50 ms, 100 ms and so on up to 2 s, and once more at
//! shutdown.
//!
//! | kept | given up |
//! |---|---|
//! | a set, from before its flight first tries to store it | when the login has ended, or its refresh token's life is over |
//! | an ending | never |
//!
//! A set gives way to an ending: the ending is written then, and the set is not.

use std::{sync::Arc, time::Duration};

use dashmap::DashMap;
use rustc_hash::FxBuildHasher;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    ended_here::EndedHere,
    records::{Records, Write},
    revoker::Revoker,
};
use crate::{
    clock::Clock,
    error::{Chain, RefreshError},
    metrics,
    token_store::{Ended, Ending, Put},
    tokens::{Generation, RecordKey},
};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Shorter than the time between two looks at a mark: whoever replays a refresh that it takes for
/// lost must meet the set first.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Cheap to clone; clones are one.
#[derive(Clone)]
pub(super) struct Unsaved(Arc<Inner>);

struct Inner {
    kept: DashMap<RecordKey, Kept, FxBuildHasher>,
    records: Arc<Records>,
    ended_here: Arc<EndedHere>,
    revoker: Revoker,
    clock: Clock,
    tasks: TaskTracker,
    closing: CancellationToken,
}

#[derive(Default)]
struct Kept {
    set: Option<Arc<Write>>,
    ending: Option<Ending>,
    /// A task tries to write them.
    has_writer: bool,
}

impl Unsaved {
    pub(super) fn new(
        records: Arc<Records>,
        ended_here: Arc<EndedHere>,
        revoker: Revoker,
        clock: Clock,
        tasks: TaskTracker,
        closing: CancellationToken,
    ) -> Self {
        let kept = DashMap::default();
        Self(Arc::new(Inner { kept, records, ended_here, revoker, clock, tasks, closing }))
    }

    /// Keeps a set that is about to be stored.
    pub(super) fn keep(&self, write: Arc<Write>) {
        let mut kept = self.0.kept.entry(write.key).or_default();
        kept.set = Some(write);
    }

    /// The store has the set of `generation`, or must not have it.
    pub(super) fn release(&self, key: RecordKey, generation: Generation) {
        self.0.release(key, generation);
    }

    /// The store has refused the set that is kept: a task goes on trying.
    pub(super) fn try_again(&self, key: RecordKey, error: &RefreshError) {
        metrics::set_unsaved();
        tracing::error!(
            login = %key,
            error = %Chain(error),
            "the token store does not take new tokens; they are kept in memory and tried again"
        );
        self.start_writer(key);
    }

    /// The store has refused an ending: a task goes on trying.
    pub(super) fn end_later(&self, key: RecordKey, ending: Ending, error: &RefreshError) {
        tracing::warn!(
            login = %key,
            error = %Chain(error),
            "the token store does not take the end of a login; it is tried again"
        );
        self.0.kept.entry(key).or_default().ending.get_or_insert(ending);
        self.start_writer(key);
    }

    /// The set that the store does not have yet.
    pub(super) fn set(&self, key: RecordKey) -> Option<Arc<Write>> {
        self.0.kept.get(&key)?.set.clone()
    }

    /// How many logins there are of which the store lacks something.
    pub(super) fn count(&self) -> usize {
        self.0.kept.len()
    }

    fn start_writer(&self, key: RecordKey) {
        let mut kept = self.0.kept.entry(key).or_default();
        if !std::mem::replace(&mut kept.has_writer, true) {
            self.0.tasks.spawn(self.0.clone().write_until_saved(key));
        }
    }
}

/// What one attempt came to.
enum Attempt {
    Saved,
    Refused(RefreshError),
}

impl Inner {
    async fn write_until_saved(self: Arc<Self>, key: RecordKey) {
        let mut pause = FIRST_PAUSE;
        loop {
            let wait = tokio::time::sleep(pause);
            let is_last = self.closing.run_until_cancelled(wait).await.is_none();
            pause = (pause * 2).min(LONGEST_PAUSE);
            match self.attempt(key).await {
                Attempt::Saved => {
                    if self.stop_writer(key) {
                        return;
                    }
                }
                Attempt::Refused(error) if is_last => {
                    tracing::error!(
                        login = %key,
                        error = %Chain(&error),
                        "at shutdown the token store still lacks new tokens, or the end of a login"
                    );
                    return;
                }
                Attempt::Refused(_) => {}
            }
        }
    }

    /// Whether nothing came in the meantime.
    fn stop_writer(&self, key: RecordKey) -> bool {
        self.kept.remove_if(&key, |_, kept| kept.set.is_none() && kept.ending.is_none()).is_some()
            || !self.kept.contains_key(&key)
    }

    async fn attempt(&self, key: RecordKey) -> Attempt {
        let Some((set, ending)) = self.kept.get(&key).map(|kept| (kept.set.clone(), kept.ending))
        else {
            return Attempt::Saved;
        };
        if let Some(ending) = ending {
            return match self.records.end(key, ending, None).await {
                Ok(ended) => {
                    self.has_ended(key, ending, ended, set).await;
                    Attempt::Saved
                }
                Err(error) => Attempt::Refused(error),
            };
        }
        let Some(set) = set else { return Attempt::Saved };
        let generation = set.tokens.generation;
        if set.tokens.refresh_expires_at.is_some_and(|end| end <= self.clock.now()) {
            tracing::error!(login = %key, "the token store never took new tokens; they are too old now");
            self.release(key, generation);
            return Attempt::Saved;
        }
        match self.records.put(&set).await {
            Ok(put) => {
                if let Put::Ended(ending) = put {
                    self.ended_here.mark(key, ending, true);
                    if ending.revoke {
                        self.revoker.discard(key, &set.tokens).await;
                    }
                }
                self.release(key, generation);
                Attempt::Saved
            }
            Err(error) => Attempt::Refused(error),
        }
    }

    /// The store has taken an ending in the end. Whoever asked for it could not see what it replaced,
    /// and a flight may have brought newer tokens since.
    async fn has_ended(
        &self,
        key: RecordKey,
        ending: Ending,
        ended: Ended,
        set: Option<Arc<Write>>,
    ) {
        self.ended_here.note_stored(key);
        if let Ended::Before(before) = &ended {
            self.ended_here.mark(key, *before, true);
        }
        if let Some(mut kept) = self.kept.get_mut(&key) {
            kept.ending = None;
            kept.set = None;
        }
        let replaced = match ended {
            Ended::Replaced(record) => self.records.open(key, &record).ok(),
            Ended::Before(_) | Ended::Newer(_) | Ended::Absent => None,
        };
        let set = set.map(|set| set.tokens.clone());
        let newest = replaced.into_iter().chain(set).max_by_key(|tokens| tokens.generation);
        if let Some(tokens) = newest.filter(|_| ending.revoke) {
            self.revoker.discard(key, &tokens).await;
        }
    }

    fn release(&self, key: RecordKey, generation: Generation) {
        if let Some(mut kept) = self.kept.get_mut(&key)
            && kept.set.as_ref().is_some_and(|set| set.tokens.generation <= generation)
        {
            kept.set = None;
        }
        // A writer removes what it has written itself.
        self.kept.remove_if(&key, |_, kept| {
            kept.set.is_none() && kept.ending.is_none() && !kept.has_writer
        });
    }
}
