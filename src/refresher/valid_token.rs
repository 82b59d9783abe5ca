//! Who gets which token.
//!
//! | the token in the cache | the request |
//! |---|---|
//! | fresh, confirmed with the token store lately | goes on |
//! | the same, and due soon | goes on; a refresh starts in the background |
//! | confirmed longer ago than half of `confirm_after` | goes on; the record is read again in the background |
//! | confirmed longer ago than `confirm_after`, or none | waits for the token record |
//! | expired, or about to | waits for a refresh |
//!
//! It waits for `wait_timeout` at most, for the record and the refresh together. If that is not
//! enough for the record, a cached token that is still good is served. It also waits for the session
//! store, `store_timeout` each time: first for its session, and after an error to delete a session
//! that ended with its login. If it has started a refresh, it waits for its session to be prolonged
//! as well ([`prolong`](super::prolong)).
//!
//! Whoever waits asks one question: *I hold generation g; give me one that is newer and fresh now.*
//! A flight that has ended, one that is under way or a new one answers it. The answer may have been
//! made for somebody else, so each caller tests it itself.

use std::{
    pin::{Pin, pin},
    sync::Arc,
};

use http::StatusCode;
use tokio::time::Sleep;
use tower_sessions::Session;
use tracing::{Instrument, Span};

use super::{
    Core, FlightKey, FlightResult,
    asker::Asker,
    confirm::{confirmed_within, lately_confirmed, not_stored_yet, within},
    ending::Login,
    errors::{SOON, internal, is_under_way_elsewhere, pointer_failed, unavailable, wait_timeout},
    refresh::{self, RefreshRequest},
};
use crate::{
    error::{RefreshError, RefreshErrorKind},
    metrics::ServedFrom,
    policy::OnUnavailable,
    single_flight::{Joined, Start},
    tokens::{AccessToken, CachedToken, Generation, GrantId, Standing, saturating_add},
};

/// An answer made for somebody else may be too old for this caller, and the next one as well. After
/// this many the caller is told to come back later.
const MOST_ANSWERS: usize = 3;

pub(super) async fn valid_token(
    core: &Arc<Core>,
    session: &Session,
) -> Result<AccessToken, RefreshError> {
    let grant = grant_of(core, session).await?;
    valid_token_of(core, grant, Asker::Request(session)).await
}

pub(super) async fn valid_token_of(
    core: &Arc<Core>,
    grant: GrantId,
    asker: Asker<'_>,
) -> Result<AccessToken, RefreshError> {
    if let Some(token) = at_once(core, grant) {
        core.meter.served_from_cache();
        return Ok(core.access_token(token));
    }
    // What may wait is boxed: every request carries this future, and few go further than here.
    Box::pin(async {
        let limit = pin!(tokio::time::sleep(core.policy.wait_timeout));
        let (token, from) = slow(core, asker, grant, limit).await?;
        core.meter.served(from);
        Ok(token)
    })
    .await
}

/// A token that is newer than the rejected one, even if that has not expired.
pub(super) async fn newer_token(
    core: &Arc<Core>,
    session: &Session,
    rejected: &CachedToken,
) -> Result<AccessToken, RefreshError> {
    let grant = grant_of(core, session).await?;
    newer_token_of(core, grant, Asker::Request(session), rejected).await
}

pub(super) async fn newer_token_of(
    core: &Arc<Core>,
    grant: GrantId,
    asker: Asker<'_>,
    rejected: &CachedToken,
) -> Result<AccessToken, RefreshError> {
    let mut limit = pin!(tokio::time::sleep(core.policy.wait_timeout));
    let (token, from) = match at_once(core, grant) {
        Some(token) => (core.access_token(token), ServedFrom::Cache),
        None => slow(core, asker, grant, limit.as_mut()).await?,
    };
    let held = token.cached();
    // A refresh that brought a refresh token only has left the access token as it was.
    let is_rejected = held.issued().is(rejected.issued());
    if held.key != rejected.key || (held.generation > rejected.generation && !is_rejected) {
        core.meter.served(from);
        return Ok(token);
    }
    let than = held.generation.max(rejected.generation);
    let began = core.clock.moment();
    let newer = newer_than(core, asker, grant, held, than, limit).await;
    core.meter.waited(outcome_of(&newer), core.clock.since(began));
    match newer {
        Ok(token) => {
            core.meter.served(ServedFrom::Refresh);
            Ok(core.access_token(token))
        }
        Err(error) => {
            asker.end_session_if_ended(core, grant).await;
            Err(error)
        }
    }
}

/// A label of metrics.
fn outcome_of<T>(waited: &Result<T, RefreshError>) -> &'static str {
    waited.as_ref().map_or_else(|error| error.kind().name(), |_| "served")
}

pub(super) async fn grant_of(core: &Core, session: &Session) -> Result<GrantId, RefreshError> {
    let read = core.in_time(core.pointer.read(session)).await;
    let read = read.and_then(|read| read.map_err(|error| pointer_failed(&core.pointer, error)));
    let grant = read.inspect_err(|_| core.meter.store_failed("session"))?;
    grant.ok_or_else(|| RefreshError::new(RefreshErrorKind::NoTokens, "the session holds no login"))
}

/// What a request gets that waits for nobody: nearly every one.
pub(super) fn at_once(core: &Arc<Core>, grant: GrantId) -> Option<Arc<CachedToken>> {
    lately_confirmed(core, grant, |token, now| core.standing(token, now) == Standing::Fresh)
}

async fn slow(
    core: &Arc<Core>,
    asker: Asker<'_>,
    grant: GrantId,
    mut limit: Pin<&mut Sleep>,
) -> Result<(AccessToken, ServedFrom), RefreshError> {
    let answer = async {
        let token = confirmed_within(core, grant, limit.as_mut()).await?;
        core.endings.check(token.key)?;
        if core.standing(&token, core.clock.now()) == Standing::DueSoon {
            refresh_early(core, asker, grant, &token).await;
            // Tested last: the session store may have taken its time.
            core.endings.check(token.key)?;
        }
        match core.standing(&token, core.clock.now()) {
            Standing::Fresh | Standing::DueSoon => {
                Ok((core.access_token(token), ServedFrom::Record))
            }
            Standing::Expired => wait_for_fresh(core, asker, grant, token, limit).await,
        }
    }
    .await;
    if answer.is_err() {
        asker.end_session_if_ended(core, grant).await;
    }
    answer
}

async fn wait_for_fresh(
    core: &Arc<Core>,
    asker: Asker<'_>,
    grant: GrantId,
    held: Arc<CachedToken>,
    limit: Pin<&mut Sleep>,
) -> Result<(AccessToken, ServedFrom), RefreshError> {
    let began = core.clock.moment();
    let newer = newer_than(core, asker, grant, &held, held.generation, limit).await;
    let answer = newer.map(|token| (core.access_token(token), ServedFrom::Refresh));
    let answer = answer.or_else(|error| {
        let old = old_instead(core, held, error)?;
        Ok((old, ServedFrom::Expired))
    });
    let outcome = match &answer {
        Ok((_, ServedFrom::Expired)) => "served_old",
        other => outcome_of(other),
    };
    core.meter.waited(outcome, core.clock.since(began));
    answer
}

/// The old token for a request whose refresh failed with `error`.
fn old_instead(
    core: &Core,
    held: Arc<CachedToken>,
    error: RefreshError,
) -> Result<AccessToken, RefreshError> {
    if error.kind().status() == StatusCode::UNAUTHORIZED {
        return Err(error);
    }
    core.endings.check(held.key)?;
    if core.clock.now() < held.expires_at {
        // Within the leeway the old one is better than none.
        Ok(core.access_token(held))
    } else if may_serve_expired(core, &held, &error) {
        Ok(core.access_token(held).marked_stale())
    } else {
        Err(error)
    }
}

fn may_serve_expired(core: &Core, held: &CachedToken, error: &RefreshError) -> bool {
    let OnUnavailable::ServeExpired { for_at_most } = core.policy.on_unavailable else {
        return false;
    };
    let is_outage =
        matches!(error.kind(), RefreshErrorKind::Unavailable | RefreshErrorKind::WaitTimeout);
    is_outage && saturating_add(held.expires_at, for_at_most) > core.clock.now()
}

/// Gives up at the limit of the request; the flight goes on without it.
async fn newer_than(
    core: &Arc<Core>,
    asker: Asker<'_>,
    grant: GrantId,
    held: &CachedToken,
    than: Generation,
    limit: Pin<&mut Sleep>,
) -> Result<Arc<CachedToken>, RefreshError> {
    let span = tracing::info_span!("token_refresh.request", login = %held.key);
    let waiting = wait_for_newer(core, asker, grant, held, than).instrument(span);
    match within(limit, waiting).await {
        Some(answer) => answer,
        None => {
            core.endings.check(held.key)?;
            let rest = core.presentations.rest_of_mark(held.key).unwrap_or(SOON);
            // The store may take longer than this caller waits: what the provider gave is served
            // before the flight gives up storing it.
            let stored = core.cache.get(grant);
            let mut newer = stored.into_iter().chain(not_stored_yet(core, held.key));
            let newer = newer.find(|token| token.generation > than && core.is_good(token));
            newer.ok_or_else(|| wait_timeout(rest))
        }
    }
}

async fn wait_for_newer(
    core: &Arc<Core>,
    asker: Asker<'_>,
    grant: GrantId,
    held: &CachedToken,
    than: Generation,
) -> Result<Arc<CachedToken>, RefreshError> {
    for _ in 0..MOST_ANSWERS {
        let asked = request(asker, grant, than, false);
        let joined = join_or_start(core, asked, held);
        let is_late = matches!(joined, Joined::Known(_));
        let (result, started) = match joined {
            Joined::Known(result) => (result, false),
            Joined::Waiting { answer, started } => {
                if let Some(flight) = core.flight_log.span_of(held.key) {
                    Span::current().follows_from(&flight);
                }
                (answer.await.unwrap_or_else(|_lost| Err(internal())), started)
            }
        };
        let token = match result {
            // A refresh that began ahead of time does not wait for that of another process.
            Err(error) if !started && is_under_way_elsewhere(&error) => continue,
            result => result?,
        };
        if started && token.generation > than {
            asker.count_as_activity(core).await;
        }
        // Tested last: the session store may have taken its time.
        core.endings.check(held.key)?;
        if token.generation > than && core.is_good(&token) {
            if is_late {
                core.meter.late_caller();
            }
            return Ok(token);
        }
    }
    Err(unavailable("the refreshed tokens were too old for this request each time"))
}

/// The request goes on with the token it has, and a flight of its own fetches the next. A failure
/// is logged and counted; the next attempt starts after a pause that doubles.
pub(super) async fn refresh_early(
    core: &Arc<Core>,
    asker: Asker<'_>,
    grant: GrantId,
    token: &CachedToken,
) {
    let is_good = core.is_good(token);
    if !token.has_refresh_token
        || core.presentations.is_paused(token.key, token.generation, is_good)
    {
        return;
    }
    let asked = request(asker, grant, token.generation, true);
    if let Joined::Waiting { started: true, .. } = join_or_start(core, asked, token) {
        asker.count_as_activity(core).await;
    }
}

fn request(asker: Asker<'_>, grant: GrantId, than: Generation, early: bool) -> RefreshRequest {
    let session_ends = asker.session_ends();
    RefreshRequest { grant, login: Login::of(grant), than, session_ends, early }
}

/// Joins the flight of the login or starts one.
fn join_or_start(
    core: &Arc<Core>,
    asked: RefreshRequest,
    held: &CachedToken,
) -> Joined<FlightResult> {
    // Taken before the look at `closing`: a shutdown that is not seen here waits for the flight
    // that starts.
    let _under_way = core.tasks.token();
    let key = FlightKey { user: held.subject.clone(), key: held.key };
    core.flights.join_or_start(&key, || {
        if let Some(error) = core.endings.error_of(held.key) {
            return Start::No(Err(error));
        }
        // A flight that ended between this caller's look and this moment.
        let newer = core.cache.get(asked.grant).filter(|token| token.generation > asked.than);
        if let Some(token) = newer.filter(|token| core.is_good(token)) {
            return Start::No(Ok(token));
        }
        if core.closing.is_cancelled() {
            return Start::No(Err(unavailable("this process is shutting down")));
        }
        let entry = core.flight_log.begin(key.clone(), held.issuer.clone(), asked.early);
        let span = entry.span().clone();
        Start::Flight(refresh::run(core.clone(), asked, entry).instrument(span))
    })
}
