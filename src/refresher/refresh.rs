//! What a flight does: one refresh of one login, in a task of its own.
//!
//! 1. Read the token record, and write what it lacks. Newer than asked for and fresh: that is the
//!    answer.
//! 2. Decide whether the refresh token may be presented ([`presentation`](super::presentation)).
//! 3. Mark the record as `presenting`, just before each attempt. No mark, no request; but a store that
//!    does not compare and swap may refuse the mark, as it is for one process, which excludes by
//!    itself.
//! 4. Ask the token endpoint.
//! 5. Store the new set, put it into the cache, and answer the waiters, in this order.
//!
//! Between the request and the write a flight does not ask whether the login has ended in this process:
//! the store's comparison decides, or the set could be lost and its predecessor presented again.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;

use super::{
    Core, Landed,
    arrears::{self, Newest},
    ending::{Cause, Login},
    errors::{endpoint_failed, expired, logged_out, no_record, unavailable},
    presentation::{Decision, under_way_elsewhere},
    records::{Found, Read, Write},
    subject_check::{self, Checked},
};
use crate::{
    clock::Moment,
    endpoint::{Aborted, BeforeAttempt, EndpointErrorKind, RefreshFailure, is_breaker_refusal},
    error::{Chain, RefreshError, RefreshErrorKind},
    metrics,
    token_store::{Nonce, Put, RecordState, RecordVersion},
    tokens::{CachedToken, Generation, GrantId, GrantTokens},
};

/// The pauses before each look for the set of a faster process. Whoever has to log in again waits for
/// all of them.
const PATIENCE: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
];
/// How long another process's refresh is left alone between two looks.
const FIRST_LOOK: Duration = Duration::from_millis(50);
const LONGEST_LOOK: Duration = Duration::from_secs(1);

/// What is asked for, and by whose session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    pub(super) grant: GrantId,
    pub(super) login: Login,
    /// Newer than this.
    pub(super) than: Generation,
    /// The end of the session after this activity.
    pub(super) session_ends: SystemTime,
    /// Nobody waits for it.
    pub(super) early: bool,
}

/// What a flight came to, as a label of metrics.
type Outcome = &'static str;
const REFRESHED: Outcome = "refreshed";
const ALREADY_NEWER: Outcome = "already_newer";
const LOST_RACE: Outcome = "lost_race";

pub(super) async fn fly(core: Arc<Core>, order: Order) -> Landed {
    let flight = Flight { core: &core, order };
    let mut landed = flight.run().await;
    let login = order.login.key;
    match &mut landed {
        Ok((token, outcome)) => {
            metrics::flight_ended(outcome);
            let generation = token.generation.0;
            tracing::debug!(%login, generation, outcome, "token refresh landed");
        }
        Err(error) => {
            let outcome = error.kind().name();
            metrics::flight_ended(outcome);
            let chain = Chain(error);
            match error.kind() {
                RefreshErrorKind::Misconfigured
                | RefreshErrorKind::InvalidResponse
                | RefreshErrorKind::SubjectChanged => {
                    tracing::error!(%login, outcome, error = %chain, "token refresh failed");
                }
                // Every request with an expired token meets it, and the breaker has logged why.
                _ if is_breaker_refusal(error) => {
                    tracing::debug!(%login, outcome, error = %chain, "token refresh failed");
                }
                // Another process is about to bring the tokens.
                _ if order.early && core.presentations.rest_of_mark(login).is_some() => {
                    tracing::debug!(%login, outcome, error = %chain, "token refresh not needed");
                }
                _ => tracing::warn!(%login, outcome, error = %chain, "token refresh failed"),
            }
            error.mark_logged();
        }
    }
    landed.map(|(token, _)| token)
}

struct Flight<'a> {
    core: &'a Arc<Core>,
    order: Order,
}

type Refreshed = Result<(Arc<CachedToken>, Outcome), RefreshError>;

/// What a presentation came to.
enum Presented {
    Answered(Refreshed),
    /// The record has changed before the token was sent.
    Again,
}

impl Flight<'_> {
    async fn run(&self) -> Refreshed {
        let (core, key) = (self.core, self.order.login.key);
        let began = core.clock.moment();
        let mut look = FIRST_LOOK;
        loop {
            let (found, stored) = match self.newest().await {
                Ok(newest) => newest,
                Err(error) => {
                    core.presentations.put_off(key, self.order.than);
                    return Err(error);
                }
            };
            if found.tokens.generation > self.order.than && self.is_fresh(&found.tokens) {
                return Ok((self.publish(&found.tokens), ALREADY_NEWER));
            }
            core.endings.check(key)?;
            let ahead = self.cached_ahead_of(&found);
            if let Some(token) = &ahead
                && token.generation > self.order.than
                && core.is_fresh(token)
            {
                return Ok((token.clone(), ALREADY_NEWER));
            }
            if found.tokens.refresh_token.is_none() {
                return Err(self.cannot_refresh(&found).await);
            }
            match core.presentations.decide(key, &found, ahead.is_some(), core.policy.replay) {
                Decision::Present { replay } => match self.present(&found, stored, replay).await {
                    Presented::Answered(answered) => return answered,
                    Presented::Again => {}
                },
                Decision::Wait(left) => {
                    // Two deadlines: one for a mark, one for whoever replays it.
                    let waited = core.clock.since(began);
                    if self.order.early || waited > core.mark_deadline * 2 {
                        return Err(under_way_elsewhere(left));
                    }
                    let pause = tokio::time::sleep(look.min(left));
                    if core.closing.run_until_cancelled(pause).await.is_none() {
                        return Err(unavailable("this process is shutting down"));
                    }
                    look = (look * 2).min(LONGEST_LOOK);
                }
                Decision::Refuse(error) => return Err(error),
                Decision::GiveUp => {
                    let why = "the last refresh had no usable answer, and presenting the refresh \
                               token again is turned off";
                    return Err(self.expire(&found.tokens, why).await?);
                }
            }
        }
    }

    /// The newest tokens, and whether the store has them.
    async fn newest(&self) -> Result<(Box<Found>, bool), RefreshError> {
        let core = self.core;
        let login = self.order.login;
        match arrears::newest(&core.records, &core.unsaved, &core.endings, login).await? {
            Newest::Held { found, stored } => Ok((found, stored)),
            Newest::Ended => Err(core.endings.error_of(login.key).unwrap_or_else(logged_out)),
            Newest::Absent => {
                core.cache.remove(self.order.grant);
                Err(no_record())
            }
        }
    }

    /// What this process serves, where it is later than the store's newest: the store has lost a
    /// write that nobody has any more.
    fn cached_ahead_of(&self, found: &Found) -> Option<Arc<CachedToken>> {
        let cached = self.core.cache.get(self.order.grant)?;
        (cached.generation > found.tokens.generation).then_some(cached)
    }

    fn is_fresh(&self, tokens: &GrantTokens) -> bool {
        tokens.is_fresh_at(self.core.clock.now(), self.core.policy.leeway)
    }

    /// The store has these tokens: from now on this process serves them.
    fn publish(&self, tokens: &GrantTokens) -> Arc<CachedToken> {
        let now = self.core.clock.moment();
        let token = Arc::new(CachedToken::new(self.order.login.key, tokens, now));
        self.core.cache.put(self.order.grant, token, now)
    }

    async fn cannot_refresh(&self, found: &Found) -> RefreshError {
        if self.is_fresh(&found.tokens) {
            // An API has refused it; others may not. It is not ours to throw away.
            return expired("there is no refresh token to get a newer access token with");
        }
        let why = "the access token has expired and there is no refresh token";
        self.expire(&found.tokens, why).await.unwrap_or_else(|error| error)
    }

    /// Ends a login that has nothing left to live on. Fails if the store does not say so.
    async fn expire(
        &self,
        tokens: &GrantTokens,
        why: &'static str,
    ) -> Result<RefreshError, RefreshError> {
        let core = self.core;
        match core.endings.expire(self.order.login, tokens.generation).await? {
            None => {
                core.presentations.settled(self.order.login.key);
                Ok(expired(why))
            }
            Some(_newer) => Err(unavailable("another process has stored newer tokens just now")),
        }
    }

    async fn present(&self, found: &Found, stored: bool, replay: bool) -> Presented {
        let (core, key) = (self.core, self.order.login.key);
        let generation = found.tokens.generation;
        let Some(refresh_token) = &found.tokens.refresh_token else { return Presented::Again };
        let mut marker = Marker::new(self, found, stored);
        let sent_at = core.clock.now();
        let answer = core.provider.refresh(refresh_token, &mut marker).await;
        let Marker { marked, nonce, stop, sent, .. } = marker;
        if replay && sent {
            metrics::replayed();
            tracing::warn!(
                login = %key,
                "a refresh token was presented again, whose last presentation had no usable answer"
            );
        }
        let error = match answer {
            Ok(answer) => {
                let next = found.tokens.next(answer, sent_at, core.policy.fallback_lifetime);
                return Presented::Answered(self.land(&found.tokens, next, nonce).await);
            }
            Err(RefreshFailure::Aborted) => {
                core.presentations.not_consumed(key, generation);
                return match stop {
                    Some(Stop::Refused(error)) => Presented::Answered(Err(error)),
                    Some(Stop::Again) | None => Presented::Again,
                };
            }
            Err(RefreshFailure::Endpoint(error)) => error,
        };
        if *error.kind() == EndpointErrorKind::InvalidGrant {
            return Presented::Answered(self.refused(&found.tokens).await);
        }
        if !error.may_have_consumed() {
            core.presentations.not_consumed(key, generation);
            // A doubt that is older than this presentation stays, and the mark tells others of it.
            if let Some(version) = marked
                && !replay
                && !core.presentations.was_in_doubt(key, generation)
            {
                self.unmark(found, version).await;
            }
        }
        let failed = endpoint_failed(error);
        let wait = failed.retry_after().unwrap_or_default();
        core.presentations.hold_off(key, generation, wait);
        Presented::Answered(Err(failed))
    }

    /// The token was certainly not used up: nobody has to wait for the mark to grow old.
    async fn unmark(&self, found: &Found, marked: RecordVersion) {
        let (core, key) = (self.core, self.order.login.key);
        let live = RecordState::Live;
        if let Err(error) = core.records.swap(key, marked, found, live, marked.nonce).await {
            tracing::warn!(
                login = %key,
                error = %Chain(&error),
                "the mark of a refresh that failed is still in the token store; other processes wait \
                 until it is too old"
            );
        }
    }

    /// The provider gave a new set.
    async fn land(&self, before: &GrantTokens, next: GrantTokens, nonce: Nonce) -> Refreshed {
        let (core, login) = (self.core, self.order.login);
        let next = match subject_check::check(core, login.key, before, next).await {
            Checked::Same(next) => *next,
            Checked::Changed { next, claim } => {
                core.presentations.settled(login.key);
                core.endings.end(login, Cause::SubjectChanged, None).await;
                core.revoker.discard(login.key, &next).await;
                let why = format!(
                    "the provider's new tokens have another {claim} than the login's: the login \
                     has ended"
                );
                return Err(RefreshError::new(RefreshErrorKind::SubjectChanged, why));
            }
        };
        let expired_at_birth = next.expires_at <= next.obtained_at;
        let token = self.store(next, nonce).await?;
        if expired_at_birth {
            // Stored all the same: its refresh token is the only good one.
            let why = "the provider's new access token has already expired by our clock";
            return Err(RefreshError::new(RefreshErrorKind::InvalidResponse, why));
        }
        Ok((token, REFRESHED))
    }

    async fn store(
        &self,
        next: GrantTokens,
        nonce: Nonce,
    ) -> Result<Arc<CachedToken>, RefreshError> {
        let (core, login) = (self.core, self.order.login);
        let key = login.key;
        let write = Arc::new(core.records.write(key, next, nonce, self.order.session_ends)?);
        let Write { tokens, .. } = &*write;
        // Before the store is asked: a set that is in nobody's hands could get lost.
        core.unsaved.keep(write.clone());
        match core.records.put(&write).await {
            Ok(Put::Stored) => core.unsaved.release(key, tokens.generation),
            Ok(Put::NotNewer) => {
                core.unsaved.release(key, tokens.generation);
                // Somebody replayed this refresh, and was faster.
                let (found, _) = self.newest().await?;
                return Ok(self.publish(&found.tokens));
            }
            Ok(Put::Ended(ending)) => {
                // Before any waiter looks.
                core.endings.learn(login, ending);
                core.unsaved.release(key, tokens.generation);
                core.presentations.settled(key);
                if ending.revoke {
                    core.revoker.discard(key, tokens).await;
                }
                return Err(core.endings.error_of(key).unwrap_or_else(logged_out));
            }
            Ok(Put::Absent) => {
                core.unsaved.release(key, tokens.generation);
                core.presentations.settled(key);
                core.cache.remove(self.order.grant);
                return Err(no_record());
            }
            Err(error) => core.unsaved.try_again(key, &error),
        }
        core.presentations.settled(key);
        core.endings.check(key)?;
        let token = self.publish(tokens);
        // Whoever ended the login between these two lines has removed the token before.
        core.endings
            .check(key)
            .inspect_err(|_| core.cache.remove_token(self.order.grant, &token))?;
        Ok(token)
    }

    /// The provider refused the refresh token. That is the end, unless another process was faster;
    /// its set may be on the way to the store only now.
    async fn refused(&self, presented: &GrantTokens) -> Refreshed {
        let (core, login) = (self.core, self.order.login);
        for pause in PATIENCE {
            tokio::time::sleep(pause).await;
            match core.records.read(login.key).await? {
                Read::Held(found) if found.tokens.generation > presented.generation => {
                    return Ok((self.lost_race(&found.tokens), LOST_RACE));
                }
                Read::Held(_) => {}
                Read::Absent | Read::Ended(_) => break,
            }
        }
        match core.endings.expire(login, presented.generation).await? {
            None => {
                core.presentations.settled(login.key);
                Err(expired("the provider no longer accepts the refresh token"))
            }
            Some(record) => {
                let tokens = core.records.open(login.key, &record)?;
                Ok((self.lost_race(&tokens), LOST_RACE))
            }
        }
    }

    fn lost_race(&self, tokens: &GrantTokens) -> Arc<CachedToken> {
        tracing::warn!(
            login = %self.order.login.key,
            "the provider refused a refresh token that another process had presented before; a \
             provider that punishes reuse ends such a login"
        );
        self.core.presentations.settled(self.order.login.key);
        self.publish(tokens)
    }
}

/// Sets the mark before each attempt.
struct Marker<'a> {
    flight: &'a Flight<'a>,
    found: &'a Found,
    /// The store has the tokens that are presented.
    stored: bool,
    /// Of the mark that is set next, or was set last.
    nonce: Nonce,
    /// This is not the first attempt.
    renews: bool,
    marked: Option<RecordVersion>,
    stop: Option<Stop>,
    sent: bool,
}

/// Why an attempt was called off.
enum Stop {
    /// Begin again: somebody else has written the record, or this process has slept.
    Again,
    Refused(RefreshError),
}

#[async_trait]
impl BeforeAttempt for Marker<'_> {
    async fn before_attempt(&mut self) -> Result<(), Aborted> {
        let (core, key) = (self.flight.core, self.flight.order.login.key);
        let generation = self.found.tokens.generation;
        let began = core.clock.moment();
        if std::mem::replace(&mut self.renews, true) {
            // Whoever has judged the earlier mark too old must find another one.
            self.nonce = Nonce::random();
            core.presentations.renewing(key, generation, self.nonce);
        } else {
            core.presentations.marking(key, generation, self.nonce);
        }
        if self.stored {
            self.mark(began).await.map_err(|stop| {
                self.stop = Some(stop);
                Aborted
            })?;
        }
        core.presentations.presenting(key, generation);
        self.sent = true;
        Ok(())
    }
}

impl<'a> Marker<'a> {
    fn new(flight: &'a Flight<'a>, found: &'a Found, stored: bool) -> Self {
        let nonce = Nonce::random();
        let (marked, stop) = (None, None);
        Self { flight, found, stored, nonce, renews: false, marked, stop, sent: false }
    }

    async fn mark(&mut self, began: Moment) -> Result<(), Stop> {
        let (core, key) = (self.flight.core, self.flight.order.login.key);
        let since = self.found.store_now_at_most(&core.clock);
        let state = RecordState::Presenting { since };
        let expected = self.marked.unwrap_or_else(|| self.found.record.version());
        match core.records.swap(key, expected, self.found, state, self.nonce).await {
            Ok(Some(version)) => self.marked = Some(version),
            // The answer to an earlier swap may have got lost.
            Ok(None) => match core.records.holds(key, self.nonce).await {
                Ok(true) => self.marked = Some(self.version()),
                Ok(false) => return Err(Stop::Again),
                Err(error) => return Err(Stop::Refused(error)),
            },
            Err(error) if core.records.compares_and_swaps() => {
                match core.records.holds(key, self.nonce).await {
                    Ok(true) => self.marked = Some(self.version()),
                    Ok(false) | Err(_) => return Err(Stop::Refused(error)),
                }
            }
            // One process excludes by itself: a store that only refuses writes is noticed by nobody.
            Err(_refused) => return Ok(()),
        }
        // A mark that has grown old while this process slept no longer holds the others off.
        if core.clock.since(began) > core.policy.store_timeout {
            return Err(Stop::Again);
        }
        Ok(())
    }

    fn version(&self) -> RecordVersion {
        RecordVersion {
            generation: self.found.record.generation(),
            state: "presenting",
            nonce: self.nonce,
        }
    }
}
