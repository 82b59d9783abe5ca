//! Answers that may mean: this refresh token is dead, in words that nobody documented.
//!
//! A provider that answers `invalid_request`, a bare 401 or a 500 may be broken, may refuse this
//! client, or may have forgotten this one token. The first two log nobody out; the third would make
//! the user look at errors for ever. So such answers are counted for each login, and the login ends
//!
//! - after a number of them in a row (3, a setting), over at least 30 s, if the provider has
//!   refreshed other logins of this process since the first one: one at least, and twenty for each
//!   time that one met such answers or was refreshed after them. A provider that fails here and
//!   there is in trouble itself: of three of its nodes, one may be down.
//! - after 24 h of nothing else.
//!
//! A row has no gap of over 10 min: what others got meanwhile says nothing about the two ends. Any
//! other answer ends the row; no answer at all does not. What a process has counted, it forgets
//! when it ends.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use dashmap::DashMap;
use rustc_hash::FxBuildHasher;

use crate::{
    clock::{Clock, Moment},
    tokens::{Generation, RecordKey},
};

const AT_LEAST: Duration = Duration::from_secs(30);
/// After a longer gap the row begins again; only the 24 h go on.
const LONGEST_GAP: Duration = Duration::from_secs(10 * 60);
const AT_MOST: Duration = Duration::from_secs(24 * 60 * 60);
/// How many logins must have been refreshed for each other one that met such answers. If one answer
/// in twenty is such an answer by chance, three in a row are one case in eight thousand.
const REFRESHED_PER_FAILING: u64 = 20;
/// How many logins are remembered.
const REMEMBERED: usize = 100_000;

/// What this process has counted.
pub(super) struct Rejections {
    by_login: DashMap<RecordKey, Row, FxBuildHasher>,
    /// Refreshes that brought tokens at once.
    refreshed: AtomicU64,
    /// Rows that began, and rows that ended with tokens.
    failing: AtomicU64,
    /// After so many the login may end. None: never.
    limit: Option<u32>,
    clock: Clock,
}

/// Such answers in a row to one login.
#[derive(Clone, Copy)]
struct Row {
    generation: Generation,
    /// The first of all.
    since: Moment,
    /// Without a long gap.
    answers: u32,
    first: Moment,
    last: Moment,
    refreshed_before: u64,
    failing_before: u64,
}

impl Rejections {
    /// `limit`: 0 for never.
    pub(super) fn new(limit: u32, clock: Clock) -> Self {
        let (refreshed, failing) = (AtomicU64::new(0), AtomicU64::new(0));
        let limit = Some(limit).filter(|limit| *limit > 0);
        Self { by_login: DashMap::default(), refreshed, failing, limit, clock }
    }

    /// Notes such an answer to the refresh token of `generation`. True if the login may end now.
    pub(super) fn add(&self, key: RecordKey, generation: Generation) -> bool {
        let Some(limit) = self.limit else { return false };
        if self.by_login.len() > REMEMBERED {
            self.by_login.clear();
        }
        let now = self.clock.moment();
        let fresh = || Row {
            generation,
            since: now,
            answers: 0,
            first: now,
            last: now,
            refreshed_before: self.refreshed.load(Relaxed),
            failing_before: self.failing.fetch_add(1, Relaxed) + 1,
        };
        let mut row = self.by_login.entry(key).or_insert_with(fresh);
        if row.generation != generation {
            *row = fresh();
        } else if now.since(row.last) > LONGEST_GAP {
            *row = Row { since: row.since, ..fresh() };
        }
        row.answers = row.answers.saturating_add(1);
        row.last = now;
        let is_enough = row.answers >= limit && now.since(row.first) >= AT_LEAST;
        is_enough && self.others_are_served(&row) || now.since(row.since) >= AT_MOST
    }

    fn others_are_served(&self, row: &Row) -> bool {
        let refreshed = self.refreshed.load(Relaxed) - row.refreshed_before;
        let failing = self.failing.load(Relaxed) - row.failing_before;
        refreshed >= 1.max(failing.saturating_mul(REFRESHED_PER_FAILING))
    }

    /// The provider has answered this login in another way, or the login has ended.
    pub(super) fn forget(&self, key: RecordKey) {
        self.by_login.remove(&key);
    }

    /// The provider has given tokens to this login. After such answers that is no sign of health: it
    /// shows that they pass, and the row may have begun before those that are judged by it.
    pub(super) fn refreshed(&self, key: RecordKey) {
        let had_failed = self.by_login.remove(&key).is_some();
        if had_failed { &self.failing } else { &self.refreshed }.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests;
