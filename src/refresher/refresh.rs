//! What a flight does: one refresh of one login, in a task of its own.
//!
//! 1. Read the token record, and write what it lacks. Newer than asked for and fresh: that is the
//!    answer.
//! 2. Decide whether the refresh token may be presented ([`presentation`](super::presentation)).
//! 3. Mark the record as `presenting`, just before each attempt. No mark, no request; but a store
//!    that does not compare and swap may refuse the mark: it serves one process, which never runs
//!    two flights of one login.
//! 4. Ask the token endpoint.
//! 5. Store the new set, put it into the cache, and answer the waiters, in this order.
//!
//! Between the request and the write a flight does not ask whether the login has ended in this
//! process: the store's comparison decides, or the set could be lost and its predecessor presented
//! again.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    Core, FlightResult, answer,
    ending::Login,
    errors::{
        endpoint_failed, expired, is_outage, is_under_way_elsewhere, logged_out, no_record,
        unavailable, under_way_elsewhere,
    },
    failed,
    flight_log::Entry,
    kept_answers::Repeats,
    marker::{Marker, Stop},
    newest::{self, Newest},
    presentation::Decision,
    records::Found,
    refresh_lock::Acquired,
};
use crate::{
    clock::Moment,
    endpoint::{Granted, RefreshFailure, is_held_back},
    error::{Chain, RefreshError, RefreshErrorKind},
    metrics::Outcome,
    operate::Stage,
    tokens::{CachedToken, Generation, GrantId, GrantTokens},
};

/// Other processes may write a record between a read and the mark. More often in a row is no
/// browser's doing.
const MOST_CHANGES: usize = 8;

/// What is asked for, and by whose session.
#[derive(Debug, Clone, Copy)]
pub(super) struct RefreshRequest {
    pub(super) grant: GrantId,
    pub(super) login: Login,
    /// Newer than this.
    pub(super) than: Generation,
    /// The end of the session after this activity.
    pub(super) session_ends: SystemTime,
    /// Nobody waits for it.
    pub(super) early: bool,
}

pub(super) async fn run(core: Arc<Core>, asked: RefreshRequest, entry: Entry) -> FlightResult {
    let flight = Flight { core: &core, asked, entry: &entry };
    let user = entry.key().user.as_deref();
    let waiting = core.refresh_lock.acquire(asked.login.key, user, asked.early, &entry);
    // Held until the refresh has ended.
    let acquired = core.closing.run_until_cancelled(waiting).await;
    let mut result = if let Some(Acquired::Elsewhere) = acquired {
        core.presentations.refreshed_elsewhere(asked.login.key, asked.than);
        Err(under_way_elsewhere(Duration::ZERO))
    } else {
        flight.run().await
    };
    let login = asked.login.key;
    let ended = match &result {
        Ok((_, outcome)) => *outcome,
        Err(error) if is_under_way_elsewhere(error) => Outcome::OtherProcess,
        Err(error) => Outcome::Failed(error.kind()),
    };
    let waiters = core.flights.waiting_for(entry.key());
    entry.end(ended, waiters);
    let outcome = ended.name();
    match &mut result {
        Ok((token, _)) => {
            let generation = token.generation.0;
            tracing::debug!(%login, generation, outcome, "token refresh ended");
        }
        Err(error) => {
            let chain = Chain(error);
            match error.kind() {
                _ if ended == Outcome::OtherProcess && asked.early => {
                    tracing::debug!(%login, outcome, "another process brings the tokens");
                }
                // The user has logged out meanwhile, or in another process.
                RefreshErrorKind::LoggedOut => {
                    tracing::debug!(%login, outcome, "the login has ended");
                }
                // Every request with an expired token meets it, and the log has said why.
                _ if is_held_back(error) || error.is_logged() => {
                    tracing::debug!(%login, outcome, error = %chain, "token refresh failed");
                }
                RefreshErrorKind::Misconfigured
                | RefreshErrorKind::InvalidResponse
                | RefreshErrorKind::SubjectChanged => {
                    tracing::error!(%login, outcome, error = %chain, "token refresh failed");
                }
                _ => tracing::warn!(%login, outcome, error = %chain, "token refresh failed"),
            }
            error.mark_logged();
        }
    }
    result.map(|(token, _)| token)
}

pub(super) struct Flight<'a> {
    pub(super) core: &'a Arc<Core>,
    pub(super) asked: RefreshRequest,
    pub(super) entry: &'a Entry,
}

pub(super) type Refreshed = Result<(Arc<CachedToken>, Outcome), RefreshError>;

/// What a presentation came to.
pub(super) enum Presented {
    Answered(Refreshed),
    /// The record has changed before the token was sent.
    Again,
    /// The new set is stored, but its access token had expired when it came.
    ExpiredAtBirth {
        generation: Generation,
        repeats: Repeats,
    },
}

impl Flight<'_> {
    async fn run(&self) -> Refreshed {
        let (core, key) = (self.core, self.asked.login.key);
        let began = core.clock.moment();
        let mut hearing = core.listening.hear_of(key);
        let mut changes = 0;
        let mut once_more = false;
        loop {
            let (found, refused) = match self.newest().await {
                Ok(newest) => newest,
                Err(error) => {
                    if is_outage(&error) {
                        core.presentations.store_failed(key, self.asked.than);
                    }
                    return Err(error);
                }
            };
            if found.tokens.generation > self.asked.than && self.is_good(&found.tokens) {
                core.presentations.settled(key);
                return Ok((self.publish(&found.tokens, found.read_at())?, Outcome::AlreadyNewer));
            }
            core.endings.check(key)?;
            let ahead = self.cached_ahead_of(&found);
            if let Some(token) = &ahead
                && token.generation > self.asked.than
                && core.is_good(token)
            {
                return Ok((token.clone(), Outcome::AlreadyNewer));
            }
            if found.tokens.refresh_token.is_none() {
                return Err(self.cannot_refresh(&found).await);
            }
            let stored = refused.is_none();
            if let Some(refused) = refused.filter(|_| core.records.compares_and_swaps()) {
                // What the store does not have nobody can mark.
                core.presentations.store_failed(key, self.asked.than);
                return Err(refused);
            }
            match core.presentations.decide(key, &found, ahead.as_deref(), core.policy.replay) {
                Decision::Present { replay } => match self.present(&found, stored, replay).await {
                    Presented::Answered(answered) => return answered,
                    Presented::Again if changes < MOST_CHANGES => changes += 1,
                    // Once more, with the new refresh token.
                    Presented::ExpiredAtBirth { repeats, .. }
                        if !once_more && repeats == Repeats::default() =>
                    {
                        once_more = true;
                    }
                    Presented::ExpiredAtBirth { generation, repeats } => {
                        let failed = answer::expired_at_birth();
                        return Err(answer::unusable(self, generation, repeats, failed));
                    }
                    Presented::Again => {
                        return Err(unavailable("the token record kept changing"));
                    }
                },
                Decision::Wait(left) => {
                    // Two deadlines: one for a mark, one for whoever replays it.
                    let waited = core.clock.since(began);
                    if self.asked.early {
                        core.presentations.refreshed_elsewhere(key, found.tokens.generation);
                    }
                    if self.asked.early || waited > core.mark_deadline * 2 {
                        return Err(under_way_elsewhere(left));
                    }
                    self.entry.enter(Stage::Wait);
                    let look = hearing.time_to_look(left);
                    if core.closing.run_until_cancelled(look).await.is_none() {
                        return Err(unavailable("this process is shutting down"));
                    }
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

    /// The newest tokens, and why the store does not have them.
    pub(super) async fn newest(&self) -> Result<(Box<Found>, Option<RefreshError>), RefreshError> {
        let core = self.core;
        let (grant, login) = (self.asked.grant, self.asked.login);
        self.entry.enter(Stage::Read);
        match newest::newest(core, grant).await? {
            Newest::Held { found, refused } => Ok((found, refused)),
            Newest::Ended => Err(core.endings.error_of(login.key).unwrap_or_else(logged_out)),
            Newest::Absent => {
                core.cache.remove(grant);
                Err(no_record())
            }
        }
    }

    /// What this process serves, where it is later than the store's newest: the store has lost a
    /// write that nobody has any more.
    fn cached_ahead_of(&self, found: &Found) -> Option<Arc<CachedToken>> {
        let cached = self.core.cache.get(self.asked.grant)?;
        (cached.generation > found.tokens.generation).then_some(cached)
    }

    pub(super) fn is_good(&self, tokens: &GrantTokens) -> bool {
        tokens.lifetime().is_good_at(self.core.clock.now(), self.core.policy.leeway)
    }

    /// The store has these tokens, as of `at`: from now on this process serves them, unless the
    /// login has ended here.
    pub(super) fn publish(
        &self,
        tokens: &GrantTokens,
        at: Moment,
    ) -> Result<Arc<CachedToken>, RefreshError> {
        let (core, key, grant) = (self.core, self.asked.login.key, self.asked.grant);
        core.endings.check(key)?;
        let token = core.cache.put(grant, Arc::new(CachedToken::new(key, tokens, at)), at);
        // Whoever ended the login between these two lines has emptied the cache before.
        core.endings.check(key).inspect_err(|_| core.cache.remove_token(grant, &token))?;
        core.watchers.wake(key);
        Ok(token)
    }

    async fn cannot_refresh(&self, found: &Found) -> RefreshError {
        if self.is_good(&found.tokens) {
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
        match core.endings.expire(self.asked.login, tokens).await? {
            None => {
                core.presentations.settled(self.asked.login.key);
                Ok(expired(why))
            }
            Some(_newer) => Err(unavailable("another process has stored newer tokens just now")),
        }
    }

    async fn present(&self, found: &Found, stored: bool, replay: bool) -> Presented {
        let (core, key) = (self.core, self.asked.login.key);
        let generation = found.tokens.generation;
        let Some(refresh_token) = &found.tokens.refresh_token else { return Presented::Again };
        let at = match core.providers.of(&found.tokens.issuer).await {
            Ok(at) => at,
            Err(error) => return Presented::Answered(Err(error)),
        };
        let mut marker = Marker::new(self, found, stored, replay);
        let sent_at = core.clock.now();
        self.entry.enter(Stage::Queue);
        let answer =
            at.provider.refresh(refresh_token, found.tokens.dpop_key.as_ref(), &mut marker).await;
        let nonce = marker.nonce;
        if replay && marker.sent {
            core.meter.replayed();
            tracing::warn!(
                login = %key,
                "a refresh token was presented again, whose last presentation had no usable answer"
            );
        }
        match answer {
            Ok(Granted::Tokens(answer)) => {
                let next = found.tokens.next(*answer, sent_at, core.policy.fallback_lifetime);
                answer::granted(self, &at, &found.tokens, next, nonce).await
            }
            Ok(Granted::RefreshTokenOnly(token, error)) => {
                let next = found.tokens.with_refresh_token(token, sent_at);
                answer::kept(self, &at, &found.tokens, next, nonce, endpoint_failed(error)).await
            }
            Err(RefreshFailure::Aborted) => {
                core.presentations.not_consumed(key, generation);
                match marker.stop {
                    Some(Stop::Refused(error)) => {
                        core.presentations.look_again(key);
                        Presented::Answered(Err(error))
                    }
                    Some(Stop::Again) | None => Presented::Again,
                }
            }
            Err(RefreshFailure::Endpoint(error)) => {
                Presented::Answered(failed::failed(self, &at, found, &marker, error).await)
            }
        }
    }
}
