//! When the token store is asked again whether a login still stands.
//!
//! Another process may have ended it, or refreshed it. So a token is served for `confirm_after` at
//! the most, counted from when the read began that showed it. One read of a login runs at a time,
//! in a task of its own.

use std::{pin::Pin, sync::Arc, time::SystemTime};

use tokio::{select, time::Sleep};

use super::{
    Core, FlightResult,
    ending::Login,
    errors::{internal, is_outage, logged_out, no_record, unavailable},
    newest::{self, Newest},
};
use crate::{
    error::{Chain, RefreshError},
    single_flight::{Joined, Start},
    tokens::{CachedToken, GrantId, RecordKey},
};

/// A read that began long before a request came does not answer it, nor may the next one. After
/// this many the request takes what there is.
const MOST_READS: usize = 3;

/// What the cache has, if the token store has shown it lately and it is what the caller wants at
/// the present time. Waits for nobody: in the second half of `confirm_after`, the record is read in
/// the background.
pub(super) fn lately_confirmed(
    core: &Arc<Core>,
    grant: GrantId,
    is_wanted: impl FnOnce(&CachedToken, SystemTime) -> bool,
) -> Option<Arc<CachedToken>> {
    let token = core.cache.get(grant)?;
    if core.ended_here.get(token.key).is_some() {
        return None;
    }
    let now = core.clock.moment();
    let age = now.since(token.confirmed_at());
    if age > core.policy.confirm_after || !is_wanted(&token, now.wall) {
        return None;
    }
    if age > core.policy.confirm_after / 2 {
        confirm_early(core, grant);
    }
    Some(token)
}

/// None if the limit of the request comes first.
pub(super) async fn within<T>(limit: Pin<&mut Sleep>, work: impl Future<Output = T>) -> Option<T> {
    select! {
        biased;
        done = work => Some(done),
        () = limit => None,
    }
}

/// As [`confirmed`], for whoever waits no longer than `limit`: then a token that this process has
/// is good to serve, as in any outage of the store.
pub(super) async fn confirmed_within(
    core: &Arc<Core>,
    grant: GrantId,
    limit: Pin<&mut Sleep>,
) -> Result<Arc<CachedToken>, RefreshError> {
    match within(limit, confirmed(core, grant)).await {
        Some(confirmed) => confirmed,
        None => {
            let late = unavailable("the token store did not answer in time");
            unconfirmed(core, Login::of(grant), core.cache.get(grant), late)
        }
    }
}

/// The newest token of a login, as the token store has shown it lately.
pub(super) async fn confirmed(
    core: &Arc<Core>,
    grant: GrantId,
) -> Result<Arc<CachedToken>, RefreshError> {
    core.listening.begin(core);
    let login = Login::of(grant);
    // Who has told of the ending may not have known where the token is.
    core.endings.check(login.key).inspect_err(|_| core.cache.remove(grant))?;
    let cached = core.cache.get(grant);
    let is_confirmed =
        |token: &CachedToken| core.clock.since(token.confirmed_at()) <= core.policy.confirm_after;
    if let Some(token) = cached.clone().filter(|token| is_confirmed(token)) {
        return Ok(token);
    }
    let mut reads = 1;
    loop {
        let (read, own) = match read_record(core, grant) {
            Joined::Known(read) => (read, true),
            Joined::Waiting { answer, started } => {
                (answer.await.unwrap_or_else(|_lost| Err(internal())), started)
            }
        };
        let token = match read {
            // A read that began long before this request came.
            Ok(token) if !own && !is_confirmed(&token) && reads < MOST_READS => {
                reads += 1;
                continue;
            }
            Ok(token) => token,
            Err(error) => unconfirmed(core, login, cached, error)?,
        };
        core.endings.check(login.key)?;
        return Ok(token);
    }
}

/// A store that is down, or panics, ends nothing: what this process has is good to serve. The
/// access token's life is the bound.
fn unconfirmed(
    core: &Core,
    login: Login,
    cached: Option<Arc<CachedToken>>,
    error: RefreshError,
) -> Result<Arc<CachedToken>, RefreshError> {
    if !is_outage(&error) {
        return Err(error);
    }
    let Some(token) = cached.or_else(|| not_stored_yet(core, login.key)) else {
        return Err(error);
    };
    tracing::debug!(login = %login.key, error = %Chain(&error), "a token could not be confirmed");
    // Not every request of the outage has to wait for the store: for a while they try again in the
    // background.
    token.confirm(core.clock.moment().before(core.policy.confirm_after * 3 / 4));
    Ok(token)
}

/// Reads the token record in the background. One read serves all who found the token to be in the
/// second half of `confirm_after`: it may have ended since they looked.
fn confirm_early(core: &Arc<Core>, grant: GrantId) {
    let is_due = |token: &Arc<CachedToken>| {
        core.clock.since(token.confirmed_at()) > core.policy.confirm_after / 2
    };
    let _not_waited_for = core.reads.join_or_start(&Login::of(grant).key, || {
        match core.cache.get(grant).filter(|token| !is_due(token)) {
            Some(confirmed) => Start::No(Ok(confirmed)),
            None => Start::Flight(read(core.clone(), grant)),
        }
    });
}

/// Reads the token record of a login into the cache: one read at a time, in a task of its own.
fn read_record(core: &Arc<Core>, grant: GrantId) -> Joined<FlightResult> {
    let reader = core.clone();
    core.reads.join_or_start(&Login::of(grant).key, || Start::Flight(read(reader, grant)))
}

async fn read(core: Arc<Core>, grant: GrantId) -> FlightResult {
    let login = Login::of(grant);
    let began = core.clock.moment();
    let newest = newest::newest(&core, grant).await?;
    let found = match newest {
        Newest::Held { found, .. } => found,
        Newest::Absent => {
            core.cache.remove(grant);
            return Err(no_record());
        }
        Newest::Ended => return Err(core.endings.error_of(login.key).unwrap_or_else(logged_out)),
    };
    core.endings.check(login.key)?;
    let token = Arc::new(CachedToken::new(login.key, &found.tokens, began));
    let before = core.cache.get(grant);
    let newest = core.cache.put(grant, token, began);
    // Whoever ended the login between these lines has emptied the cache before.
    core.endings.check(login.key).inspect_err(|_| core.cache.remove(grant))?;
    if newest.generation > found.tokens.generation {
        // The store has lost a write that nobody has any more: the token is good all the same.
        newest.confirm(began);
    }
    // Not by each read: whoever watches reads as well.
    if before.is_some_and(|before| before.generation < newest.generation) {
        core.watchers.wake(login.key);
    }
    Ok(newest)
}

/// What the provider gave, and the store has not taken so far.
pub(super) fn not_stored_yet(core: &Core, key: RecordKey) -> Option<Arc<CachedToken>> {
    let write = core.unsaved.pending(key)?;
    Some(Arc::new(CachedToken::new(key, &write.tokens, core.clock.moment())))
}
