//! What makes a session, or a token record, last longer.
//!
//! | what lasts longer | by what | until |
//! |---|---|---|
//! | a session that expires on inactivity, and its cookie | the request that started a refresh | its time of inactivity from now |
//! | a token record | the login, and each new set | its tokens end; at least a token's life after its session |
//! | the record of an ended login | its ending | its session ends, at least for 1 h; never less than before |
//!
//! Nothing else does: not a mark, not a request whose token is good, not a request that waited for
//! another's refresh. A session with another expiry lasts as long as the application has said.

use std::time::{Duration, SystemTime};

use tower_sessions::{Expiry, Session, session::Error};

use super::{
    Core,
    errors::{session_failed, unavailable},
};
use crate::{
    error::Chain,
    session::GuardedStore,
    tokens::{GrantTokens, saturating_add},
};

/// A record outlives what it is for by this.
const MARGIN: Duration = Duration::from_secs(60 * 60);
/// How long a record is kept whose refresh token tells no end.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The record of an ending stays at least as long: late requests meet it.
const SHORTEST: Duration = Duration::from_secs(60 * 60);
/// How long a request that has its token waits for its session to be prolonged.
const LIMIT: Duration = Duration::from_secs(1);

/// Until when the record of these tokens is kept.
pub(super) fn keep_until(
    tokens: &GrantTokens,
    session_ends: SystemTime,
    now: SystemTime,
) -> SystemTime {
    let tokens_end = tokens.refresh_expires_at.unwrap_or_else(|| saturating_add(now, KEPT));
    // A session may be used, and last longer for it, until the next refresh writes this anew.
    let session_needs = saturating_add(session_ends, tokens.lifetime().whole());
    let needed = tokens_end.max(tokens.expires_at).max(session_needs);
    saturating_add(needed, MARGIN)
}

/// Until when the record of an ending is kept.
pub(super) fn keep_ended_until(session_ends: Option<SystemTime>, now: SystemTime) -> SystemTime {
    let at_least = saturating_add(now, SHORTEST);
    session_ends.map_or(at_least, |ends| ends.max(at_least))
}

/// Prolongs the session of a request that has started a refresh: its user is active. The tokens are
/// stored either way.
pub(super) async fn prolong(core: &Core, session: &Session) {
    let prolonged = tokio::time::timeout(LIMIT, count_as_activity(session, &core.sessions));
    let failed = match prolonged.await {
        Ok(prolonged) => prolonged.map_err(session_failed).err(),
        Err(_elapsed) => Some(unavailable("the session store did not answer in time")),
    };
    if let Some(error) = failed {
        tracing::warn!(error = %Chain(&error), "a session could not be prolonged after a refresh");
    }
}

/// Marks `session` modified where it expires on inactivity, so that its record and its cookie last
/// longer. Where nothing in it is modified yet, it is loaded again first: a slow request must not
/// save its old snapshot over newer data of the application.
///
/// A session whose record has gone is left alone. tower-sessions would answer with a removal
/// cookie, and a browser that has moved on to another session id would lose that.
async fn count_as_activity(session: &Session, store: &GuardedStore) -> Result<(), Error> {
    let expiry @ Some(Expiry::OnInactivity(_)) = session.expiry() else { return Ok(()) };
    if session.is_modified() || store.reload(session).await? {
        session.set_expiry(expiry);
    }
    Ok(())
}
