//! Answers that may mean: this refresh token is dead, in words that nobody documented.
//!
//! A provider that answers `invalid_request`, a bare 401 or a 500 may be broken, may refuse this
//! client, or may have forgotten this one token. The first two log nobody out; the third would make
//! the user look at errors for ever. So such answers are counted for each login, and the login ends
//!
//! - after a number of them in a row (3, a setting), over at least 30 s, if the provider has
//!   refreshed another login of this process since the first one, and if such answers do not pass:
//!   since then, at least twenty refreshes had no such answer before them for each one of the last
//!   ten to twenty minutes that had. Of three of the provider's nodes, one may be down, and how well
//!   it went before says nothing.
//! - after 24 h of nothing else.
//!
//! How many logins meet such answers does not count: in the morning, many tokens are dead at once.
//! So if the provider fails for some logins each time, and for the others never, those are lost.
//!
//! A row has no gap of over 10 min: what others got meanwhile says nothing about the two ends. Any
//! other answer ends the row; no answer at all does not. What a process has counted, it forgets
//! when it ends.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
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
/// How many refreshes must have been smooth for each one that such answers came before. If one answer
/// in twenty is such an answer by chance, three in a row are one case in eight thousand.
const SMOOTH_PER_RECOVERY: u64 = 20;
/// Recoveries are counted for this long, and remembered for as long again.
const WINDOW: Duration = Duration::from_secs(10 * 60);
/// How many logins are remembered.
const REMEMBERED: usize = 100_000;

/// What this process has counted.
pub(super) struct Rejections {
    by_login: DashMap<RecordKey, Row, FxBuildHasher>,
    refreshes: Mutex<Refreshes>,
    /// After so many the login may end. None: never.
    limit: Option<u32>,
    clock: Clock,
}

/// Refreshes that brought tokens.
struct Refreshes {
    /// Without such an answer before, of all time.
    smooth: u64,
    /// After such an answer, since `window_began`.
    recovered: u64,
    /// The same, in the window before.
    recovered_before: u64,
    window_began: Moment,
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
    smooth_before: u64,
}

impl Rejections {
    /// `limit`: 0 for never.
    pub(super) fn new(limit: u32, clock: Clock) -> Self {
        let refreshes = Mutex::new(Refreshes {
            smooth: 0,
            recovered: 0,
            recovered_before: 0,
            window_began: clock.moment(),
        });
        let limit = Some(limit).filter(|limit| *limit > 0);
        Self { by_login: DashMap::default(), refreshes, limit, clock }
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
            smooth_before: self.refreshes().smooth,
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
        let mut refreshes = self.refreshes();
        refreshes.begin_window_if_due(self.clock.moment());
        let recoveries = refreshes.recovered + refreshes.recovered_before;
        let smooth = refreshes.smooth - row.smooth_before;
        smooth >= 1.max(recoveries.saturating_mul(SMOOTH_PER_RECOVERY))
    }

    /// The provider has answered this login in another way, or the login has ended.
    pub(super) fn forget(&self, key: RecordKey) {
        self.by_login.remove(&key);
    }

    /// The provider has given tokens to this login. After such answers that is no sign of health: it
    /// shows that they pass.
    pub(super) fn refreshed(&self, key: RecordKey) {
        let has_recovered = self.by_login.remove(&key).is_some();
        let mut refreshes = self.refreshes();
        refreshes.begin_window_if_due(self.clock.moment());
        if has_recovered {
            refreshes.recovered += 1;
        } else {
            refreshes.smooth += 1;
        }
    }

    fn refreshes(&self) -> MutexGuard<'_, Refreshes> {
        self.refreshes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Refreshes {
    fn begin_window_if_due(&mut self, now: Moment) {
        let age = now.since(self.window_began);
        if age < WINDOW {
            return;
        }
        let recovered = std::mem::take(&mut self.recovered);
        self.recovered_before = if age < WINDOW * 2 { recovered } else { 0 };
        self.window_began = now;
    }
}

#[cfg(test)]
mod tests;
