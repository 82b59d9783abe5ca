//! Every token set that was seen, and what became of it.

use std::time::Duration;

use tower_token_refresh::token_store::RecordKey;

use super::{Stage, State, View, presentations::Outcome, record::Set};
use crate::Scene;

/// A token set that the store or a process of this application has got.
pub(super) struct Seen {
    pub(super) key: RecordKey,
    pub(super) generation: u64,
    pub(super) set: Set,
    /// Who got it from the provider.
    pub(super) life: usize,
    /// When it was first in the store.
    pub(super) stored_at: Option<Duration>,
    /// The store has refused it, or took its time.
    pub(super) unsaved: bool,
}

impl State {
    pub(super) fn see(
        &mut self,
        key: RecordKey,
        generation: u64,
        set: Set,
        life: usize,
        stored: Option<Duration>,
    ) {
        let seen = self.sets.entry(set.refresh.clone()).or_insert(Seen {
            key,
            generation,
            set,
            life,
            stored_at: None,
            unsaved: false,
        });
        seen.stored_at = seen.stored_at.or(stored);
    }
}

impl Stage {
    /// Whether a token may be given out: the store has had it, or does not take it.
    pub fn may_be_served(&self, access_token: &str) -> bool {
        let state = self.state();
        let mut sets = state.sets.values().filter(|seen| seen.set.access == access_token);
        sets.any(|seen| seen.stored_at.is_some() || seen.unsaved)
    }

    /// Whether a process has got this set from the provider itself.
    pub fn got_in(&self, refresh: &str, life: usize) -> bool {
        self.state().sets.get(refresh).is_some_and(|seen| seen.life == life)
    }

    /// Whose token that is.
    pub fn owner(&self, key: RecordKey) -> Option<String> {
        self.state().owners.get(&key).cloned()
    }

    pub fn key_of(&self, subject: &str) -> Option<RecordKey> {
        let state = self.state();
        state.owners.iter().find(|(_, owner)| *owner == subject).map(|(key, _)| *key)
    }

    /// Whether something that nobody can make up for has cost this login its tokens.
    pub fn has_lost(&self, subject: &str) -> bool {
        self.state().lost.contains(subject)
    }

    /// What a logout should have revoked and has not: the newest refresh token that this application
    /// has got.
    pub fn unrevoked(&self, subject: &str) -> Option<String> {
        let state = self.state();
        let newest = state
            .sets
            .values()
            .filter(|seen| seen.set.subject == subject)
            .filter(|seen| seen.stored_at.is_some() || state.lives.contains(&seen.life))
            .max_by_key(|seen| seen.generation)?;
        let excused = state.lost.contains(subject) || state.revocation_lost.contains(subject);
        let refresh = &newest.set.refresh;
        (!excused && !state.revoked.contains(refresh)).then(|| refresh.clone())
    }

    /// Whether the token store has ever failed a process: by a write, or by one that it lost; and by a
    /// read as well.
    pub fn has_failed(&self, life: usize) -> (bool, bool) {
        let state = self.state();
        let unwritten = state.unwritten.contains(&life);
        let nothing_known = unwritten && state.unread.contains(&life);
        (unwritten || state.failovers.has_lost_anything(), nothing_known)
    }

    /// Whether a read of a token record has ever failed for a process.
    pub fn has_been_unread(&self, life: usize) -> bool {
        self.state().unread.contains(&life)
    }

    /// A login that stands, whose newest set a process has and the store has not.
    pub fn lacking_of(&self, life: usize) -> Option<String> {
        let state = self.state();
        let is_newest = |seen: &Seen| {
            let mut sets = state.sets.values();
            !sets.any(|other| other.key == seen.key && other.generation > seen.generation)
        };
        let mut lacking = state.sets.values().filter(|seen| {
            let is_gone = state.failovers.has_lost_writes_of(seen.key)
                && state.lost.contains(&seen.set.subject);
            let stands = !state.endings.contains_key(&seen.key) && !is_gone;
            seen.life == life && seen.stored_at.is_none() && stands && is_newest(seen)
        });
        lacking.next().map(|seen| seen.set.subject.clone())
    }

    /// A process ends. What it had got and the store has not is lost, as is the answer to a request
    /// that the provider has seen.
    pub(super) fn give_up_what_is_lost_with(&self, life: usize) {
        let state = &mut *self.state();
        let unwritten =
            state.sets.values().filter(|seen| seen.life == life && seen.stored_at.is_none());
        state.lost.extend(unwritten.map(|seen| seen.set.subject.clone()));
        for (refresh, presented) in &mut state.presented {
            for it in presented.iter_mut().filter(|it| it.life == life) {
                if it.outcome == Outcome::UnderWay {
                    it.outcome = Outcome::InDoubt;
                    if it.reached_the_provider || !self.settings.replay {
                        state
                            .lost
                            .extend(state.sets.get(refresh).map(|seen| seen.set.subject.clone()));
                    }
                }
            }
        }
    }

    /// What a process is good for that asks for a token: the set that the store holds.
    pub fn stored_set(&self, key: RecordKey) -> Option<Set> {
        View::of(&self.record(key)?).set
    }

    /// Whether calls of several processes may overtake each other.
    pub fn is_torn(&self) -> bool {
        self.scene() == Scene::Plain
    }
}
