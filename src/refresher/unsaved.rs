//! What the token store has refused so far: new token sets and endings.
//!
//! The provider has used the old refresh token up, so a new set must not get lost; and an ending
//! that gets lost brings a login back with the next restart. Both are kept in memory until the
//! store has them. One task per login tries again after 50 ms, 100 ms and so on up to 2 s, and once
//! more at shutdown.
//!
//! | kept | given up |
//! |---|---|
//! | a set, from before its flight first tries to store it | when the login has ended, its record is gone or newer, or its refresh token's life is over |
//! | an ending | when its record cannot be read |
//!
//! A set gives way to an ending: the ending is written then, and the set is not.

mod kept;

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::kept::{Kept, Pending};
use super::{
    audit::{Audit, Whose},
    ended_here::EndedHere,
    errors::unavailable,
    records::Records,
    revoker::Revoker,
    seen_marks::BETWEEN_LOOKS,
    writes::{Write, Writes},
};
use crate::{
    clock::Clock,
    error::{Chain, RefreshError, RefreshErrorKind},
    metrics::Meter,
    token_store::{Ended, Ending, Put},
    tokens::{Generation, RecordKey},
};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Whoever replays a refresh that it takes for lost must meet the set first.
const _: () = assert!(LONGEST_PAUSE.as_millis() + ATTEMPT.as_millis() < BETWEEN_LOOKS.as_millis());

/// By what its tasks run.
pub(super) struct Runs {
    pub(super) clock: Clock,
    pub(super) meter: Arc<Meter>,
    pub(super) tasks: TaskTracker,
    pub(super) closing: CancellationToken,
}

/// Cheap to clone; clones are one.
#[derive(Clone)]
pub(super) struct Unsaved(Arc<Inner>);

struct Inner {
    kept: Kept,
    records: Arc<Records>,
    writes: Arc<Writes>,
    ended_here: Arc<EndedHere>,
    revoker: Revoker,
    clock: Clock,
    meter: Arc<Meter>,
    audit: Audit,
    tasks: TaskTracker,
    closing: CancellationToken,
}

impl Unsaved {
    pub(super) fn new(
        records: Arc<Records>,
        writes: Arc<Writes>,
        ended_here: Arc<EndedHere>,
        revoker: Revoker,
        audit: Audit,
        runs: Runs,
    ) -> Self {
        let Runs { clock, meter, tasks, closing } = runs;
        let of_all = meter.clone();
        let kept = Kept::new(move |logins| of_all.unsaved_logins(logins));
        Self(Arc::new(Inner {
            kept,
            records,
            writes,
            ended_here,
            revoker,
            clock,
            meter,
            audit,
            tasks,
            closing,
        }))
    }

    /// Keeps a set that is about to be stored.
    pub(super) fn keep(&self, write: Arc<Write>) {
        self.0.kept.keep(write, self.0.clock.monotonic());
    }

    /// The store has the set of `generation`, or must not have it.
    pub(super) fn release(&self, key: RecordKey, generation: Generation) {
        self.0.kept.release(key, generation);
    }

    /// The store has refused the set that is kept: a task goes on trying.
    pub(super) fn try_again(&self, key: RecordKey, error: &RefreshError) {
        self.0.meter.unsaved("tokens");
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
        self.0.meter.unsaved("ending");
        self.0.kept.keep_ending(key, ending);
        self.start_writer(key);
    }

    /// The set that the store does not have yet.
    pub(super) fn pending(&self, key: RecordKey) -> Option<Arc<Write>> {
        self.0.kept.get(key)?.set
    }

    /// How many logins there are of which the store has refused something so far.
    pub(super) fn count(&self) -> usize {
        self.0.kept.count()
    }

    fn start_writer(&self, key: RecordKey) {
        if self.0.kept.refused(key) {
            self.0.tasks.spawn(self.0.clone().write_until_saved(key));
        }
    }
}

async fn in_time<T>(
    call: impl Future<Output = Result<T, RefreshError>>,
) -> Result<T, RefreshError> {
    let answer = tokio::time::timeout(ATTEMPT, call).await;
    answer.unwrap_or_else(|_| Err(unavailable("the token store did not answer in time")))
}

/// What one attempt came to.
enum Attempt {
    Saved,
    Refused(RefreshError),
}

impl Inner {
    async fn write_until_saved(self: Arc<Self>, key: RecordKey) {
        let mut writer = self.kept.writer(key);
        let mut pause = FIRST_PAUSE;
        loop {
            let wait = tokio::time::sleep(pause);
            let is_last = self.closing.run_until_cancelled(wait).await.is_none();
            pause = (pause * 2).min(LONGEST_PAUSE);
            match self.attempt(key).await {
                Attempt::Saved if writer.stop() => return,
                Attempt::Saved => {}
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

    async fn attempt(&self, key: RecordKey) -> Attempt {
        let Some(Pending { set, since, ending }) = self.kept.get(key) else {
            return Attempt::Saved;
        };
        if let Some(ending) = ending {
            return match in_time(self.writes.end(key, ending, None)).await {
                Ok(ended) => {
                    self.finish_ending(key, ending, ended, set).await;
                    Attempt::Saved
                }
                // A record that cannot be read will not be readable by trying again.
                Err(error) if error.kind() == RefreshErrorKind::Misconfigured => {
                    self.finish_ending(key, ending, Ended::Absent, set).await;
                    Attempt::Saved
                }
                Err(error) => Attempt::Refused(error),
            };
        }
        let Some(set) = set else { return Attempt::Saved };
        let generation = set.tokens.generation;
        // By the monotonic clock: a wall clock that jumps must not lose the only copy.
        let age = self.clock.monotonic().saturating_sub(since);
        let life = |end: SystemTime| end.duration_since(set.tokens.obtained_at).unwrap_or_default();
        if set.tokens.refresh_expires_at.is_some_and(|end| age >= life(end)) {
            tracing::error!(login = %key, "the token store never took new tokens; they are too old now");
            self.kept.release(key, generation);
            return Attempt::Saved;
        }
        match in_time(self.writes.put(&set)).await {
            Ok(put) => {
                if let Put::Ended(ending) = put {
                    self.audit.found_ended(key, &ending, None);
                    self.ended_here.mark(key, ending, true);
                    if ending.revoke {
                        self.revoker.revoke_unwanted(key, &set.tokens).await;
                    }
                }
                self.kept.release(key, generation);
                Attempt::Saved
            }
            Err(error) => Attempt::Refused(error),
        }
    }

    /// The store has taken an ending in the end. Whoever asked for it could not see what it
    /// replaced, and a flight may have brought newer tokens since.
    async fn finish_ending(
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
        self.kept.release_ending(key, set.as_ref());
        let stored = match &ended {
            Ended::Replaced(_) => Some(ending),
            Ended::Before(before) => Some(*before),
            Ended::Newer(_) | Ended::Absent => None,
        };
        let replaced = match ended {
            Ended::Replaced(record) => self.records.open(key, &record).ok(),
            Ended::Before(_) | Ended::Newer(_) | Ended::Absent => None,
        };
        let set = set.map(|set| set.tokens.clone());
        let newest = replaced.into_iter().chain(set).max_by_key(|tokens| tokens.generation);
        if let Some(stored) = stored {
            // By this attempt, or by one before it whose answer got lost.
            self.audit.found_ended(key, &stored, newest.as_ref().map(Whose::from));
        }
        if let Some(tokens) = newest.filter(|_| ending.revoke) {
            self.revoker.revoke_unwanted(key, &tokens).await;
        }
    }
}
