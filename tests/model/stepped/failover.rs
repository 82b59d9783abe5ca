//! A store that falls back: its last writes are lost, whatever they were.
//!
//! | lost | what the promises still say |
//! |---|---|
//! | a token set | the process that wrote it writes it again, if it meets the loss in time |
//! | a mark | nothing keeps the token from being presented twice |
//! | an ending | the process that wrote it serves nothing of the login for some time |
//! | the record | nobody makes it again |

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use tower_token_refresh::token_store::{RecordKey, TokenRecord};

use super::{Stage, State, View, record::Standing};
use crate::{ENDED_HERE, Scene, WRITE_BACK};

/// More of its last writes no store loses.
const MOST: usize = 4;

#[derive(Default)]
pub(super) struct Failovers {
    /// What each write of a record replaced, the last one last.
    replaced: HashMap<RecordKey, Vec<Option<TokenRecord>>>,
    /// By refresh token: a set that shows again, or would if one more write were lost.
    sets: HashMap<String, Vec<LostSet>>,
    /// Marks that the store has lost, by nonce.
    marks: HashSet<String>,
    keys: HashSet<RecordKey>,
    /// When the endings had landed that were lost, by the user.
    endings: HashMap<String, Duration>,
}

/// A later set that the store has lost.
struct LostSet {
    writer: usize,
    written_at: Duration,
}

impl Failovers {
    pub(super) fn note_write(&mut self, key: RecordKey, before: Option<&TokenRecord>) {
        let replaced = self.replaced.entry(key).or_default();
        if replaced.len() == MOST {
            replaced.remove(0);
        }
        replaced.push(before.cloned());
    }

    pub(super) fn has_lost_mark(&self, nonce: Option<&String>) -> bool {
        nonce.is_some_and(|nonce| self.marks.contains(nonce))
    }

    pub(super) fn has_lost_ending_of(&self, user: &str) -> bool {
        self.endings.contains_key(user)
    }

    pub(super) fn has_lost_writes_of(&self, key: RecordKey) -> bool {
        self.keys.contains(&key)
    }

    pub(super) fn has_lost_anything(&self) -> bool {
        !self.keys.is_empty()
    }

    pub(super) fn has_lost_sets_after(&self, refresh: &str) -> bool {
        self.sets.contains_key(refresh)
    }

    /// Whether `life` would write a later set again before it presents this one.
    pub(super) fn writes_back(&self, refresh: &str, life: usize, now: Duration) -> bool {
        let lost = self.sets.get(refresh).map(Vec::as_slice).unwrap_or_default();
        lost.iter().any(|lost| lost.writer == life && now < lost.written_at + WRITE_BACK)
    }

    /// Whether a set that shows again may have been lost for good.
    pub(super) fn may_lack(&self, refresh: &str, lives: &[usize], now: Duration) -> bool {
        let lost = self.sets.get(refresh).map(Vec::as_slice).unwrap_or_default();
        let gone =
            |lost: &LostSet| !lives.contains(&lost.writer) || now >= lost.written_at + WRITE_BACK;
        lives.len() > 1 && !lost.is_empty() || lost.iter().any(gone)
    }
}

impl Stage {
    /// The store loses the last writes of one record, as in a failover; in a scene of sessions, no
    /// more than a set.
    pub fn fall_back(&self, pick: usize, count: usize) {
        let swaps = self.scene() == Scene::Swapping;
        let mut keys: Vec<_> = self.state().failovers.replaced.keys().copied().collect();
        keys.retain(|key| self.owner(*key).is_some());
        keys.sort();
        let Some(key) = keys.get(pick % keys.len().max(1)).copied() else {
            return;
        };
        let Some(now) = self.record(key).map(|record| View::of(&record)) else {
            return;
        };
        let mut lost = vec![now];
        let mut shown = None;
        for _ in 0..if swaps { count } else { 1 } {
            let replaced = self.state().failovers.replaced.get_mut(&key).and_then(Vec::pop);
            let Some(before) = replaced else { break };
            lost.extend(shown.flatten().as_ref().map(View::of));
            shown = Some(before);
        }
        let Some(shown) = shown else { return };
        let view = shown.as_ref().map(View::of);
        let is_set = view.as_ref().is_some_and(|view| view.generation < lost[0].generation);
        let is_good = is_set && lost[0].state == Standing::Live;
        if !swaps && !is_good {
            return;
        }
        self.overwrite(key, shown.as_ref());
        self.note_losses(key, view.as_ref(), &lost);
    }

    fn note_losses(&self, key: RecordKey, shown: Option<&View>, lost: &[View]) {
        let state = &mut *self.state();
        let owner = state.owners.get(&key).cloned().unwrap_or_default();
        state.failovers.keys.insert(key);
        if lost[0].is_ended() && !shown.is_some_and(View::is_ended) {
            let at = state.endings.remove(&key).map(|ending| ending.at).unwrap_or_default();
            state.failovers.endings.entry(owner.clone()).or_insert(at);
            state.lost.insert(owner.clone());
        }
        let Some(shown) = shown else {
            state.lost.insert(owner);
            return;
        };
        let marks = lost.iter().filter(|view| matches!(view.state, Standing::Presenting(_)));
        state.failovers.marks.extend(marks.map(|view| view.nonce.clone()));
        note_lost_sets(state, key, shown.generation, lost[0].generation);
    }

    /// Whether the store shows a set again that a later one had replaced.
    pub fn has_fallen_back(&self, refresh: &str) -> bool {
        self.state().failovers.has_lost_sets_after(refresh)
    }

    /// Whether the store has lost the ending of this login.
    pub fn has_lost_ending(&self, subject: &str) -> bool {
        self.state().failovers.has_lost_ending_of(subject)
    }

    /// The same, and so long ago that whoever ended the login may have forgotten it.
    pub fn may_be_back(&self, subject: &str) -> bool {
        let ended_at = self.state().failovers.endings.get(subject).copied();
        ended_at.is_some_and(|at| self.now() >= at + ENDED_HERE)
    }
}

/// Each set from `shown` on up to the newest one may show again, now or after another loss.
fn note_lost_sets(state: &mut State, key: RecordKey, shown: u64, newest: u64) {
    let sets: Vec<_> = state.sets.values().filter(|seen| seen.key == key).collect();
    for set in &sets {
        let later = sets.iter().filter(|it| it.generation > set.generation);
        let later = later.filter(|it| it.generation <= newest && it.stored_at.is_some());
        let lost = later
            .map(|it| LostSet { writer: it.life, written_at: it.stored_at.unwrap_or_default() });
        if set.generation >= shown && set.generation < newest {
            let lost: Vec<_> = lost.collect();
            state.failovers.sets.entry(set.set.refresh.clone()).or_default().extend(lost);
        }
    }
}
