//! Whether a refresh token may be presented to the provider now.
//!
//! A refresh marks the token record as `presenting` before it presents the refresh token, so a mark
//! in the store means: a refresh is under way, or its outcome is in doubt.
//!
//! | the record | what a flight does |
//! |---|---|
//! | has no mark, and this process knows of no doubt | presents the token, unless the provider has just refused: then the same answer again, for 1 s, 2 s … 60 s |
//! | has a young mark of somebody else's | waits for the end of that refresh |
//! | is older than what this process serves, and nobody has the newer refresh token any more | see below |
//! | has a mark past its deadline that stayed the same in looks 5 s apart, or this process's own request had no usable answer | see below |
//!
//! In doubt, the provider may have used the refresh token up, or may never have seen it.
//!
//! | the old access token | what is done |
//! |---|---|
//! | is good | nothing: if the token was used up, presenting it again is punished, and that kills the access token too (measured on Keycloak and oidc-provider) |
//! | has expired | the login is lost for certain, unless the request never arrived: it is presented again (a replay), one at a time, 1 s, 2 s … 60 s apart, until the provider gives a clear answer |
//!
//! Deliberately not ended by the clock when the refresh token's life is over: the provider says so
//! itself, and a wall clock that jumps forward would log users out.
//!
//! What this process remembers it may forget: the mark in the store says that there is a doubt.

use std::{sync::Arc, time::Duration};

use dashmap::DashMap;
use rustc_hash::FxBuildHasher;

use super::{
    errors::unavailable_for,
    kept_answers::{KeptAnswers, Repeats},
    records::Found,
    seen_marks::SeenMarks,
};
use crate::{
    backoff::doubled,
    clock::{Clock, Moment},
    error::RefreshError,
    metrics::Meter,
    token_store::Nonce,
    tokens::{CachedToken, Generation, RecordKey, jitter},
};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How many logins' attempts are remembered. The mark in the store tells the rest.
const REMEMBERED: usize = 100_000;

/// What this process remembers of its attempts, of the provider's answers ([`KeptAnswers`]) and of
/// the marks of others ([`SeenMarks`]).
pub(super) struct Presentations {
    by_login: DashMap<RecordKey, Attempts, FxBuildHasher>,
    kept_answers: KeptAnswers,
    seen_marks: SeenMarks,
    clock: Clock,
    meter: Arc<Meter>,
}

/// Refreshes of one generation that did not bring a new set so far.
#[derive(Clone, Copy)]
struct Attempts {
    generation: Generation,
    /// Of the last mark that this process set.
    nonce: Option<Nonce>,
    /// Of the mark before that, which the store still holds if it has refused the last one.
    renewed: Option<Nonce>,
    tries: u32,
    paused_at: Moment,
    pause: Duration,
    /// The refresh token was presented, and no usable answer came.
    in_doubt: bool,
    /// The same of the presentations before the last one: a clear answer to that one does not
    /// answer those.
    in_doubt_before: bool,
}

impl Attempts {
    fn has_set(&self, nonce: Nonce) -> bool {
        self.nonce == Some(nonce) || self.renewed == Some(nonce)
    }
}

/// What a flight does with the record it has found.
#[derive(Debug)]
pub(super) enum Decision {
    Present {
        /// The token may have been presented before.
        replay: bool,
    },
    /// Somebody else's refresh is under way: for that long at the most.
    Wait(Duration),
    Refuse(RefreshError),
    /// Replay is turned off: the login ends.
    GiveUp,
}

impl Presentations {
    pub(super) fn new(clock: Clock, deadline: Duration, meter: Arc<Meter>) -> Self {
        let kept_answers = KeptAnswers::new(clock.clone());
        let seen_marks = SeenMarks::new(clock.clone(), deadline);
        Self { by_login: DashMap::default(), kept_answers, seen_marks, clock, meter }
    }

    /// `ahead`: the access token of a later generation, whose refresh token nobody has any more.
    pub(super) fn decide(
        &self,
        key: RecordKey,
        found: &Found,
        ahead: Option<&CachedToken>,
        replays: bool,
    ) -> Decision {
        let attempts = self.attempts_of(key, found.tokens.generation);
        let is_own = |nonce| attempts.is_some_and(|attempts| attempts.has_set(nonce));
        if let Some((nonce, since)) = found.mark().filter(|(nonce, _)| !is_own(*nonce)) {
            let left =
                self.seen_marks.look(key, nonce, since, found.store_now_at_least(&self.clock));
            if !left.is_zero() {
                return Decision::Wait(left);
            }
            if self.seen_marks.take_uncounted(key, nonce) {
                self.meter.mark_is_overdue();
            }
        } else if !attempts.is_some_and(|attempts| attempts.in_doubt) && ahead.is_none() {
            let answer = self.kept_answers.in_pause(key, found.tokens.generation);
            return answer.map_or(Decision::Present { replay: false }, Decision::Refuse);
        }
        let good_until = ahead.map_or(found.tokens.expires_at, |token| token.expires_at);
        if let Ok(left) = good_until.duration_since(self.clock.now())
            && !left.is_zero()
        {
            // A doubt of one's own has a pause already.
            if !attempts.is_some_and(|attempts| attempts.in_doubt) {
                self.refreshed_elsewhere(key, found.tokens.generation);
            }
            return Decision::Refuse(unavailable_for(
                left,
                "the last refresh had no usable answer, and another attempt could end the access \
                 token that is still good",
            ));
        }
        if !replays {
            return Decision::GiveUp;
        }
        // Only what this process has presented itself puts a replay off.
        let in_doubt = attempts.filter(|attempts| attempts.in_doubt);
        let wait = in_doubt.map(|attempts| self.rest(&attempts)).unwrap_or_default();
        if !wait.is_zero() {
            let message = "the last refresh had no usable answer; it is tried again later";
            return Decision::Refuse(unavailable_for(wait, message));
        }
        Decision::Present { replay: true }
    }

    /// For how long somebody else's refresh may still be under way.
    pub(super) fn rest_of_mark(&self, key: RecordKey) -> Option<Duration> {
        self.seen_marks.rest(key)
    }

    /// Whether a refresh that nobody waits for had better not begin: one of `generation` has failed
    /// just now or, which only counts while the token `is_good`, has left a doubt.
    pub(super) fn is_paused(&self, key: RecordKey, generation: Generation, is_good: bool) -> bool {
        self.attempts_of(key, generation).is_some_and(|attempts| {
            (is_good && attempts.in_doubt) || !self.rest(&attempts).is_zero()
        })
    }

    /// A mark of ours is about to be set. `replay`: the token may have been presented before, by
    /// this process or by another one.
    pub(super) fn marking(
        &self,
        key: RecordKey,
        generation: Generation,
        nonce: Nonce,
        replay: bool,
    ) {
        self.change(key, generation, |attempts| {
            if attempts.nonce != Some(nonce) {
                if attempts.nonce.replace(nonce).is_none() {
                    // What was put off before was no presentation.
                    attempts.tries = 0;
                }
                attempts.in_doubt_before = attempts.in_doubt || replay;
                self.count(key, attempts);
            }
        });
    }

    /// The mark of ours is about to be set anew, before another attempt of the same refresh.
    pub(super) fn renewing(&self, key: RecordKey, generation: Generation, nonce: Nonce) {
        self.change(key, generation, |attempts| attempts.renewed = attempts.nonce.replace(nonce));
    }

    /// The refresh token is about to be presented. Noted before: whatever becomes of the flight, a
    /// panic included, the outcome is unknown until the provider has answered.
    pub(super) fn presenting(&self, key: RecordKey, generation: Generation) {
        self.change(key, generation, |attempts| attempts.in_doubt = true);
    }

    /// The provider has certainly not used the refresh token up with the last presentation.
    pub(super) fn not_consumed(&self, key: RecordKey, generation: Generation) {
        self.change(key, generation, |attempts| attempts.in_doubt = attempts.in_doubt_before);
    }

    /// A refresh of `generation` failed before its request, as the token store did not answer.
    pub(super) fn store_failed(&self, key: RecordKey, generation: Generation) {
        self.look_again(key);
        self.change(key, generation, |attempts| self.count(key, attempts));
    }

    /// The token store has failed: the looks at the mark that it holds begin again.
    pub(super) fn look_again(&self, key: RecordKey) {
        self.seen_marks.look_again(key);
    }

    /// Another process refreshes the login, or has died in it: no reason to look at its mark with
    /// every request.
    pub(super) fn refreshed_elsewhere(&self, key: RecordKey, generation: Generation) {
        self.change(key, generation, |attempts| self.count(key, attempts));
    }

    /// The provider would answer the same again. For a while, that doubles with each of `repeats` in a
    /// row, `answer` is the answer to whoever asks.
    pub(super) fn keep_answer(
        &self,
        key: RecordKey,
        generation: Generation,
        repeats: Repeats,
        answer: &RefreshError,
    ) {
        let pause = backoff(key, generation, repeats.count());
        let pause = pause.max(answer.retry_after().unwrap_or_default());
        self.kept_answers.keep(key, generation, repeats, answer, pause);
        self.change(key, generation, |attempts| {
            (attempts.paused_at, attempts.pause) = (self.clock.moment(), pause);
        });
    }

    /// What came in a row so far, for this set or older ones.
    pub(super) fn repeats(&self, key: RecordKey, generation: Generation) -> Repeats {
        self.kept_answers.repeats(key, generation)
    }

    /// The refresh failed in another way: what the provider said before is not its answer any more.
    pub(super) fn failed_otherwise(&self, key: RecordKey) {
        self.kept_answers.forget(key);
    }

    /// The provider said how long to wait.
    pub(super) fn retry_not_before(
        &self,
        key: RecordKey,
        generation: Generation,
        at_least: Duration,
    ) {
        self.change(key, generation, |attempts| {
            if self.rest(attempts) < at_least {
                attempts.paused_at = self.clock.moment();
                attempts.pause = at_least;
            }
        });
    }

    /// Whether a doubt is older than the last presentation.
    pub(super) fn was_in_doubt(&self, key: RecordKey, generation: Generation) -> bool {
        self.attempts_of(key, generation).is_some_and(|attempts| attempts.in_doubt_before)
    }

    /// A new set has come, or the login has ended.
    pub(super) fn settled(&self, key: RecordKey) {
        self.by_login.remove(&key);
        self.kept_answers.forget(key);
        self.seen_marks.forget(key);
    }

    fn attempts_of(&self, key: RecordKey, generation: Generation) -> Option<Attempts> {
        let attempts = self.by_login.get(&key)?;
        (attempts.generation == generation).then_some(*attempts)
    }

    fn rest(&self, attempts: &Attempts) -> Duration {
        attempts.pause.saturating_sub(self.clock.since(attempts.paused_at))
    }

    fn count(&self, key: RecordKey, attempts: &mut Attempts) {
        attempts.tries = attempts.tries.saturating_add(1);
        attempts.paused_at = self.clock.moment();
        attempts.pause = backoff(key, attempts.generation, attempts.tries);
    }

    fn change(&self, key: RecordKey, generation: Generation, change: impl FnOnce(&mut Attempts)) {
        self.bound();
        let fresh = || Attempts {
            generation,
            nonce: None,
            renewed: None,
            tries: 0,
            paused_at: self.clock.moment(),
            pause: Duration::ZERO,
            in_doubt: false,
            in_doubt_before: false,
        };
        let mut attempts = self.by_login.entry(key).or_insert_with(fresh);
        if attempts.generation < generation {
            *attempts = fresh();
        }
        if attempts.generation == generation {
            change(&mut attempts);
        }
    }

    fn bound(&self) {
        if self.by_login.len() > REMEMBERED {
            self.by_login.clear();
        }
    }
}

/// Doubles from one second to a minute. Up to half of it is taken off, so that what failed together
/// is not tried again together.
fn backoff(key: RecordKey, generation: Generation, tries: u32) -> Duration {
    let whole = doubled(FIRST_PAUSE, tries.saturating_sub(1), LONGEST_PAUSE);
    whole.mul_f64(1.0 - jitter((key, generation, tries)) / 2.0)
}

#[cfg(test)]
mod tests;
