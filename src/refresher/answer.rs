//! The end of a flight: the provider gave a new set, or refused the refresh token.

use std::{sync::Arc, time::Duration};

use super::{
    ending::Cause,
    errors::{expired, logged_out, no_record, subject_changed},
    kept_answers::{Repeat, Repeats},
    providers::AtProvider,
    records::Read,
    refresh::{Flight, Presented, Refreshed},
    subject_check::{self, Checked},
    writes::Write,
};
use crate::{
    error::{RefreshError, RefreshErrorKind},
    metrics::Outcome,
    operate::Stage,
    token_store::{Nonce, Put},
    tokens::{CachedToken, Generation, GrantTokens},
};

/// The pauses before each look for the set of a faster process. Whoever has to log in again waits
/// for all of them.
const PAUSES: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
];

/// The provider gave a new set.
pub(super) async fn granted(
    flight: &Flight<'_>,
    at: &AtProvider,
    before: &GrantTokens,
    next: GrantTokens,
    nonce: Nonce,
) -> Presented {
    let (core, login) = (flight.core, flight.asked.login);
    at.rejections.refreshed(login.key);
    let next = match subject_check::check(at, login.key, before, next).await {
        Checked::Same(next) => *next,
        Checked::Changed { next, claim } => {
            core.presentations.settled(login.key);
            core.endings.end(login, Cause::SubjectChanged, None).await;
            core.revoker.revoke_unwanted(login.key, &next).await;
            tracing::error!(login = %login.key, claim, "the provider's new tokens have another user or issuer");
            return Presented::Answered(Err(subject_changed()));
        }
    };
    // Not by now: whoever waited for a slow answer asks for another one.
    let is_expired = next.expires_at <= next.obtained_at;
    if is_expired && flight.is_good(before) {
        // Its refresh token is the only good one, and the access token of before the better one.
        let next = next.with_access_token_of(before);
        return kept(flight, at, before, next, nonce, expired_at_birth()).await;
    }
    let generation = next.generation;
    let repeats = core.presentations.repeats(login.key, before.generation);
    match store(flight, next, nonce).await {
        Ok(_) if is_expired => Presented::ExpiredAtBirth { generation, repeats },
        stored => Presented::Answered(stored.map(|token| (token, Outcome::Refreshed))),
    }
}

/// The provider gave a new refresh token, and no access token that can be used. The old refresh
/// token is used up, so the new one is stored; the access token stays as it was.
pub(super) async fn kept(
    flight: &Flight<'_>,
    at: &AtProvider,
    before: &GrantTokens,
    next: GrantTokens,
    nonce: Nonce,
    failed: RefreshError,
) -> Presented {
    let (key, generation) = (flight.asked.login.key, next.generation);
    let repeats = flight.core.presentations.repeats(key, before.generation);
    at.rejections.forget(key);
    if let Err(error) = store(flight, next, nonce).await {
        return Presented::Answered(Err(error));
    }
    Presented::Answered(Err(unusable(flight, generation, repeats, failed)))
}

/// The set of `generation` is stored, and its access token cannot be used. The next attempt, with
/// its refresh token, comes after a pause that doubles.
pub(super) fn unusable(
    flight: &Flight<'_>,
    generation: Generation,
    repeats: Repeats,
    failed: RefreshError,
) -> RefreshError {
    let (core, key) = (flight.core, flight.asked.login.key);
    core.presentations.keep_answer(key, generation, repeats.and(Repeat::Refusal), &failed);
    failed
}

pub(super) fn expired_at_birth() -> RefreshError {
    let why = "the provider's new access tokens have already expired by our clock";
    RefreshError::new(RefreshErrorKind::InvalidResponse, why)
}

async fn store(
    flight: &Flight<'_>,
    next: GrantTokens,
    nonce: Nonce,
) -> Result<Arc<CachedToken>, RefreshError> {
    let (core, login) = (flight.core, flight.asked.login);
    let key = login.key;
    let write = Arc::new(core.writes.prepare(key, next, nonce, flight.asked.session_ends)?);
    let Write { tokens, .. } = &*write;
    // Before the store is asked: if this task dies meanwhile, the set must not be lost.
    core.unsaved.keep(write.clone());
    flight.entry.enter(Stage::Write);
    let stored_at = core.clock.moment();
    match core.writes.put(&write).await {
        Ok(Put::Stored) => core.unsaved.release(key, tokens.generation),
        Ok(Put::NotNewer) => {
            core.unsaved.release(key, tokens.generation);
            core.presentations.settled(key);
            // Somebody replayed this refresh, and was faster.
            let (found, _) = flight.newest().await?;
            return flight.publish(&found.tokens, found.read_at());
        }
        Ok(Put::Ended(ending)) => {
            // Before any waiter looks.
            core.endings.learn(login, ending);
            core.unsaved.release(key, tokens.generation);
            core.presentations.settled(key);
            if ending.revoke {
                core.revoker.revoke_unwanted(key, tokens).await;
            }
            return Err(core.endings.error_of(key).unwrap_or_else(logged_out));
        }
        Ok(Put::Absent) => {
            core.unsaved.release(key, tokens.generation);
            core.presentations.settled(key);
            core.cache.remove(flight.asked.grant);
            return Err(no_record());
        }
        Err(error) => core.unsaved.try_again(key, &error),
    }
    core.presentations.settled(key);
    flight.publish(tokens, stored_at)
}

/// The provider refused the refresh token. That is the end, unless another process was faster;
/// its set may be on the way to the store only now.
pub(super) async fn refused(flight: &Flight<'_>, presented: &GrantTokens) -> Refreshed {
    let (core, login) = (flight.core, flight.asked.login);
    flight.entry.enter(Stage::Read);
    for pause in PAUSES {
        tokio::time::sleep(pause).await;
        match core.records.read(login.key).await? {
            Read::Held(found) if found.tokens.generation > presented.generation => {
                return Ok((lost_race(flight, &found.tokens)?, Outcome::LostRace));
            }
            Read::Held(_) => {}
            Read::Absent | Read::Ended(_) => break,
        }
    }
    match core.endings.expire(login, presented).await? {
        None => {
            core.presentations.settled(login.key);
            Err(expired("the provider no longer accepts the refresh token"))
        }
        Some(record) => {
            let tokens = core.records.open(login.key, &record)?;
            Ok((lost_race(flight, &tokens)?, Outcome::LostRace))
        }
    }
}

fn lost_race(flight: &Flight<'_>, tokens: &GrantTokens) -> Result<Arc<CachedToken>, RefreshError> {
    tracing::warn!(
        login = %flight.asked.login.key,
        "the provider refused a refresh token that another process had presented before; a \
         provider that punishes reuse ends such a login"
    );
    flight.core.audit.reuse_suspected(flight.asked.login.key, &tokens.into());
    flight.core.presentations.settled(flight.asked.login.key);
    flight.publish(tokens, flight.core.clock.moment())
}
