//! Answers of the provider that would come again: kept for a while for whoever asks next, and
//! counted for each login in a row.
//!
//! They belong to the login, not to one set of its tokens: each refresh that brings a set which
//! cannot be used makes a new generation, and another process may have made it.

use std::time::Duration;

use dashmap::{DashMap, mapref::one::Ref};
use rustc_hash::FxBuildHasher;

use crate::{
    clock::{Clock, Moment},
    error::RefreshError,
    tokens::{Generation, RecordKey},
};

/// How many logins' answers are remembered.
const REMEMBERED: usize = 100_000;

/// What the provider said last.
pub(super) struct KeptAnswers {
    by_login: DashMap<RecordKey, Kept, FxBuildHasher>,
    clock: Clock,
}

struct Kept {
    /// Of the newest set that it was said of.
    generation: Generation,
    repeats: Repeats,
    answer: RefreshError,
    since: Moment,
    pause: Duration,
}

/// An answer that the provider would give again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// A clear refusal.
    Refusal,
    /// Come back later.
    Later,
}

/// How many of them came in a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Repeats {
    refusals: u32,
    laters: u32,
}

impl Repeats {
    pub(super) fn of(self, repeat: Repeat) -> u32 {
        match repeat {
            Repeat::Refusal => self.refusals,
            Repeat::Later => self.laters,
        }
    }

    /// One more.
    pub(super) fn and(mut self, repeat: Repeat) -> Self {
        let count = match repeat {
            Repeat::Refusal => &mut self.refusals,
            Repeat::Later => &mut self.laters,
        };
        *count = count.saturating_add(1);
        self
    }

    pub(super) fn count(self) -> u32 {
        self.refusals.saturating_add(self.laters)
    }
}

impl KeptAnswers {
    pub(super) fn new(clock: Clock) -> Self {
        Self { by_login: DashMap::default(), clock }
    }

    /// Keeps `answer`, the last of `repeats` in a row, for `pause`.
    pub(super) fn keep(
        &self,
        key: RecordKey,
        generation: Generation,
        repeats: Repeats,
        answer: &RefreshError,
        pause: Duration,
    ) {
        if self.by_login.len() > REMEMBERED {
            self.by_login.clear();
        }
        let mut answer = answer.clone();
        // The one that is not kept is.
        answer.mark_logged();
        let since = self.clock.moment();
        self.by_login.insert(key, Kept { generation, repeats, answer, since, pause });
    }

    /// The answer to whoever asks for a newer set than that of `generation` within the pause.
    pub(super) fn in_pause(&self, key: RecordKey, generation: Generation) -> Option<RefreshError> {
        let kept = self.of(key, generation)?;
        let rest = kept.pause.saturating_sub(self.clock.since(kept.since));
        if rest.is_zero() {
            return None;
        }
        Some(kept.answer.clone().kept_for(rest))
    }

    /// What came in a row so far.
    pub(super) fn repeats(&self, key: RecordKey, generation: Generation) -> Repeats {
        self.of(key, generation).map_or_else(Repeats::default, |kept| kept.repeats)
    }

    pub(super) fn forget(&self, key: RecordKey) {
        self.by_login.remove(&key);
    }

    fn of(&self, key: RecordKey, generation: Generation) -> Option<Ref<'_, RecordKey, Kept>> {
        self.by_login.get(&key).filter(|kept| kept.generation <= generation)
    }
}
