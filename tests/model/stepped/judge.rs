//! Each write of a token record, judged the moment it lands.

use std::time::Duration;

use tower_token_refresh::token_store::{RecordKey, TokenRecord};

use super::{Stage, State, View, presentations::Outcome, record::Standing};
use crate::{MARK_HOLDS, Scene};

/// What several processes on one plain store may come to. Everywhere else it is a broken promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Breach {
    DoublePost,
    OldOverNew,
    EndedUndone,
}

pub(super) struct Mark {
    pub(super) generation: u64,
    pub(super) nonce: String,
    /// The mark in whose place it was set.
    pub(super) replaced: String,
    pub(super) at: Duration,
}

/// An ending that the token store has taken.
#[derive(Clone)]
pub struct Landed {
    /// Lives that begin with this one or later know nothing but what is stored.
    pub before_life: usize,
    pub by: usize,
    pub at: Duration,
    pub why: String,
    pub with_session: bool,
}

impl Stage {
    pub(super) fn breach(&self, state: &mut State, key: RecordKey, kind: Breach, what: String) {
        if self.scene() == Scene::Plain {
            state.admitted.push(kind);
            let owner = state.owners.get(&key).cloned();
            state.lost.extend(owner);
        } else {
            state.broken.push(what);
        }
    }

    /// A write of `life` has taken effect.
    pub(super) fn landed(
        &self,
        life: usize,
        key: RecordKey,
        before: Option<&TokenRecord>,
        after: Option<&TokenRecord>,
    ) {
        if before == after {
            return;
        }
        let views = (before.map(View::of), after.map(View::of));
        let state = &mut *self.state();
        if self.scene() == Scene::Swapping {
            state.failovers.note_write(key, before);
        }
        if let Some(View { set: Some(set), generation, .. }) = &views.1 {
            state.owners.insert(key, set.subject.clone());
            let now = Some(self.now());
            state.see(key, *generation, set.clone(), life, now);
        }
        match views {
            (None, Some(View { generation: 1, state: Standing::Live, .. })) => {}
            // That a logout token was used.
            (None, Some(View { generation: 0, state: Standing::Ended { .. }, .. })) => {}
            (None, _) => state.broken.push("a record that was gone was made again".into()),
            (Some(_), None) => state.broken.push("a record was deleted".into()),
            (Some(old), Some(new)) if old.is_ended() => {
                let what = format!("an ending was overwritten: {:?} by {:?}", old.state, new.state);
                self.breach(state, key, Breach::EndedUndone, what);
            }
            (Some(old), Some(View { state: Standing::Ended { why, with_session }, .. })) => {
                if why == "expired" {
                    self.judge_expired(state, key, &old);
                }
                let (before_life, at) = (state.next_life, self.now());
                let ending = Landed { before_life, by: life, at, why, with_session };
                state.endings.insert(key, ending);
            }
            (Some(old), Some(new)) => self.judge_change(state, life, key, (&old, &new), before),
        }
    }

    fn judge_change(
        &self,
        state: &mut State,
        life: usize,
        key: RecordKey,
        (old, new): (&View, &View),
        before: Option<&TokenRecord>,
    ) {
        if new.generation > old.generation {
            if self.scene() != Scene::Swapping {
                state.failovers.note_write(key, before);
            }
            return;
        }
        if new.generation < old.generation || new.set != old.set {
            let what = format!("generation {} was written over {}", new.generation, old.generation);
            return self.breach(state, key, Breach::OldOverNew, what);
        }
        if let (Standing::Presenting(_), Standing::Live) = (&old.state, &new.state)
            && new.nonce != old.nonce
        {
            let what = "somebody else's mark was taken away".to_owned();
            self.breach(state, key, Breach::DoublePost, what);
        }
        if let Standing::Presenting(_) = new.state {
            let (nonce, replaced) = (new.nonce.clone(), old.nonce.clone());
            let at = self.now();
            let mark = Mark { generation: new.generation, nonce, replaced, at };
            state.marks.insert((life, key), mark);
        }
    }

    /// A login ends for its refresh token only where the provider has refused that, or, without
    /// replays, where its last refresh is in doubt.
    fn judge_expired(&self, state: &mut State, key: RecordKey, old: &View) {
        let Some(set) = &old.set else { return };
        let presented = state.presented.get(&set.refresh).map(Vec::as_slice).unwrap_or_default();
        // Also a later set that the store does not have.
        let was_refused = state.sets.values().any(|seen| {
            let presented = state.presented.get(&seen.set.refresh).map(Vec::as_slice);
            let mut presented = presented.unwrap_or_default().iter();
            let may_be_meant = seen.key == key && seen.generation >= old.generation;
            may_be_meant && presented.any(|it| it.outcome == Outcome::Refused)
        });
        let in_doubt = presented.iter().any(|it| it.outcome == Outcome::InDoubt);
        let old_mark = match old.state {
            Standing::Presenting(since) => {
                let age = self.clock.clock().now().duration_since(since).unwrap_or_default();
                age >= MARK_HOLDS || state.jumped_forward
            }
            _ => false,
        };
        let fell_back = state.failovers.may_lack(&set.refresh, &state.lives, self.now());
        let gave_up = !self.settings.replay && (in_doubt || old_mark || fell_back);
        if was_refused || gave_up || state.lost.contains(&set.subject) {
            state.lost.insert(set.subject.clone());
        } else {
            let what = format!("{} was ended as expired although it stands", set.subject);
            self.breach(state, key, Breach::OldOverNew, what);
        }
    }

    pub fn ending(&self, key: RecordKey) -> Option<Landed> {
        self.state().endings.get(&key).cloned()
    }
}
