//! Each presentation of a refresh token, judged the moment it begins.

use std::time::Duration;

use tower_token_refresh::token_store::RecordKey;

use super::{Breach, Stage, State, View, Way, judge::Mark, record::Standing};
use crate::{BETWEEN_LOOKS, LONGEST_MARKING, MARK_HOLDS, STORE_TIMEOUT, Scene};

/// One presentation of a refresh token.
pub(super) struct Presentation {
    pub(super) life: usize,
    pub(super) at: Duration,
    pub(super) outcome: Outcome,
    /// The mark that was set before.
    pub(super) mark: Option<String>,
    pub(super) reached_the_provider: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    UnderWay,
    /// The provider has certainly not used the token up.
    NotConsumed,
    /// There was no answer.
    InDoubt,
    /// The provider does not take the token.
    Refused,
    /// The process has got the next set.
    Answered,
}

impl Way {
    /// A request begins. Gives its place among the presentations of its token.
    pub(super) fn judge_presentation(&self, refresh: &str) -> usize {
        let stage = &self.stage;
        let state = &mut *stage.state();
        if state.closed.contains(&self.life) {
            state.broken.push("a refresh was begun after the shutdown".into());
        }
        let Some(seen) = state.sets.get(refresh) else {
            state.broken.push("nobody has this refresh token".into());
            return 0;
        };
        let (key, generation) = (seen.key, seen.generation);
        let good = self.clock.clock().now() < seen.set.expires_at && !state.jumped_back;
        let mark = state.marks.remove(&(self.life, key));
        let mark = mark.filter(|mark| mark.generation == generation);
        let marked = mark.is_some();
        let may_lack_a_mark =
            stage.scene() != Scene::Swapping && state.unwritten.contains(&self.life);
        if !marked && !may_lack_a_mark {
            let what = "a refresh token was presented without a mark".to_owned();
            stage.breach(state, key, Breach::DoublePost, what);
        }
        // Nothing of the process moves between its look at the clock and the request. Over a plain
        // store the one process needs no mark.
        let is_old = |mark: &Mark| stage.now() > mark.at + LONGEST_MARKING;
        if stage.scene() == Scene::Swapping && mark.as_ref().is_some_and(is_old) {
            let what = "a refresh token was presented under an old mark".to_owned();
            stage.breach(state, key, Breach::DoublePost, what);
        }
        let earlier = state.presented.remove(refresh).unwrap_or_default();
        for it in &earlier {
            let taken_over = mark.as_ref().filter(|mark| it.mark.as_ref() == Some(&mark.replaced));
            if let Some(mark) = taken_over.filter(|_| it.life != self.life)
                && it.outcome != Outcome::NotConsumed
            {
                let first = state.sightings.get(&(self.life, mark.replaced.clone()));
                if first.is_none_or(|first| stage.now() < *first + BETWEEN_LOOKS) {
                    let what = "a mark was taken over that had hardly been seen".to_owned();
                    stage.breach(state, key, Breach::DoublePost, what);
                }
            }
            if let Err(what) = self.judge_again(state, it, refresh, good, mark.as_ref()) {
                let what = format!("{what}; before: {:?}", it.outcome);
                stage.breach(state, key, Breach::DoublePost, what);
            }
        }
        let (life, at, outcome) = (self.life, stage.now(), Outcome::UnderWay);
        let mut all = earlier;
        let mark = mark.map(|mark| mark.nonce);
        all.push(Presentation { life, at, outcome, mark, reached_the_provider: false });
        let place = all.len() - 1;
        state.presented.insert(refresh.to_owned(), all);
        place
    }

    /// Whether a token may be presented again after `it`, under `mark`.
    fn judge_again(
        &self,
        state: &mut State,
        it: &Presentation,
        refresh: &str,
        good: bool,
        mark: Option<&Mark>,
    ) -> Result<(), &'static str> {
        let stage = &self.stage;
        let now = stage.now();
        if matches!(it.outcome, Outcome::NotConsumed | Outcome::Refused) {
            return Ok(());
        }
        let owner = state.sets.get(refresh).map(|seen| seen.set.subject.clone());
        if state.failovers.has_lost_sets_after(refresh) {
            // The one process would write the later set again; another one does not have it.
            let writes_back = state.failovers.writes_back(refresh, self.life, now);
            if writes_back && !state.unwritten.contains(&self.life) {
                return Err("the store had lost a set, and its predecessor was presented");
            }
            state.lost.extend(owner);
            return Ok(());
        }
        let lost_ending =
            owner.as_ref().is_some_and(|owner| state.failovers.has_lost_ending_of(owner));
        // Either one's: the other could not see it.
        let mut marks = [it.mark.as_ref(), mark.map(|mark| &mark.nonce)].into_iter();
        if lost_ending || marks.any(|mark| state.failovers.has_lost_mark(mark)) {
            state.lost.extend(owner);
            return Ok(());
        }
        let own = it.life == self.life;
        let is_lost = match it.outcome {
            Outcome::UnderWay | Outcome::Answered if own => {
                return Err("a refresh token was presented twice");
            }
            Outcome::UnderWay | Outcome::Answered => true,
            _ => false,
        };
        // The plain store had refused the mark, and whoever knew better has ended.
        if !own && it.mark.is_none() {
            state.lost.extend(owner);
            return Ok(());
        }
        if good {
            return Err("a token in doubt was presented again while its access token was good");
        }
        if !stage.settings.replay {
            return Err("a token in doubt was presented again");
        }
        // The mark was set at most one call of the store before.
        let young = now + STORE_TIMEOUT < it.at + MARK_HOLDS;
        if !own && young && !state.jumped_forward {
            return Err("a refresh token was presented while another process's mark was young");
        }
        if is_lost {
            state.lost.extend(owner);
        }
        Ok(())
    }
}

impl Stage {
    /// Whether a record bears a mark although its refresh token was certainly not used up, by a
    /// process that could have taken the mark back.
    pub fn is_marked_in_vain(&self, key: RecordKey) -> bool {
        let Some(view) = self.record(key).map(|record| View::of(&record)) else { return false };
        let (Standing::Presenting(_), Some(set)) = (&view.state, &view.set) else { return false };
        let state = self.state();
        if state.failovers.has_lost_writes_of(key) {
            return false;
        }
        let all = state.presented.get(&set.refresh).map(Vec::as_slice).unwrap_or_default();
        let could = |it: &Presentation| {
            state.lives.contains(&it.life) && !state.unwritten.contains(&it.life)
        };
        let in_vain = |it: &Presentation| it.outcome == Outcome::NotConsumed && could(it);
        !all.is_empty() && all.iter().all(in_vain)
    }

    pub(super) fn note_outcome(&self, refresh: &str, place: usize, outcome: Outcome) {
        let mut state = self.state();
        let presented = state.presented.get_mut(refresh).and_then(|all| all.get_mut(place));
        if let Some(presented) = presented {
            presented.outcome = outcome;
        }
    }

    pub(super) fn note_reached(&self, refresh: &str, place: usize) {
        let mut state = self.state();
        let presented = state.presented.get_mut(refresh).and_then(|all| all.get_mut(place));
        if let Some(presented) = presented {
            presented.reached_the_provider = true;
        }
    }
}
