//! Login: a new one takes the place of whatever the session pointed to.
//!
//! In this order, so that a crash at any point leaves a user who is logged in before, or after, or
//! not at all: the token record, the end of the login before, the session. On any error the new
//! record is ended and the pointer taken out of the session: nobody is logged in.

use std::sync::Arc;

use tower_sessions::Session;

use super::{
    Core,
    ending::{Cause, Login},
    errors::{internal, session_failed},
    new_login::NewLogin,
};
use crate::{
    back_channel::Tick,
    error::{Chain, RefreshError},
    session::PointerError,
    tokens::{GrantId, TokenSet},
};

pub(super) async fn log_in(
    core: Arc<Core>,
    session: Session,
    set: TokenSet,
) -> Result<(), RefreshError> {
    let began = core.now_for_logouts();
    let grant = GrantId::random();
    core.listening.begin(&core);
    // A session that cannot be read is no place for a login.
    let before = pointer_of(&core, &session).await?;
    let (its_core, its_session) = (core.clone(), session.clone());
    // In a task of its own: a store that panics must not keep the pointer from being taken out
    // again.
    let work = tokio::spawn(async move { make(&its_core, &its_session, grant, set, began).await });
    let made = work.await.unwrap_or_else(|_panic| Err(internal()));
    if made.is_err() {
        undo(&core, &session, grant, before).await;
    }
    made
}

/// Gives the session a login that was made without it.
#[cfg(feature = "login")]
pub(super) async fn give(
    core: Arc<Core>,
    session: Session,
    grant: GrantId,
) -> Result<(), RefreshError> {
    let before = pointer_of(&core, &session).await?;
    let (its_core, its_session) = (core.clone(), session.clone());
    let work = tokio::spawn(async move {
        // Before, so that an ended login takes the place of no other; and after, as it may take
        // long.
        its_core.endings.check(Login::of(grant).key)?;
        point(&its_core, &its_session, grant).await?;
        its_core.endings.check(Login::of(grant).key)
    });
    let given = work.await.unwrap_or_else(|_panic| Err(internal()));
    if given.is_err() {
        take_out(&core, &session, &[Some(grant), before]).await;
    }
    given
}

async fn make(
    core: &Core,
    session: &Session,
    grant: GrantId,
    set: TokenSet,
    began: Option<Tick>,
) -> Result<(), RefreshError> {
    let new = NewLogin::create(core, grant, set, session.expiry_date().into(), began).await?;
    point(core, session, grant).await?;
    new.begin(core)
}

/// The session holds this login from now on, and no other.
async fn point(core: &Core, session: &Session, grant: GrantId) -> Result<(), RefreshError> {
    end_before(core, session, grant).await?;
    let pointed = core.in_time(async {
        core.pointer.set(session, grant).await?;
        session.cycle_id().await?;
        // At once: with a 5xx answer tower-sessions would not save, and neither the old record nor
        // a new one would be left.
        session.save().await
    });
    pointed.await?.map_err(session_failed)
}

/// Ends the login that the session points to, unless it is the `new` one; and the next one, where
/// another request of the session logs in meanwhile.
async fn end_before(core: &Core, session: &Session, new: GrantId) -> Result<(), RefreshError> {
    let mut ended = None;
    loop {
        let before = pointer_of(core, session).await?;
        let is_done = before == ended || before == Some(new);
        let Some(grant) = before.filter(|_| !is_done) else { return Ok(()) };
        // Not revoked: a provider with one session per browser would end the new login with it.
        let replaced = core.endings.end(Login::of(grant), Cause::Replaced, None).await;
        if let Some(refused) = replaced.refused {
            return Err(refused);
        }
        ended = Some(grant);
    }
}

async fn pointer_of(core: &Core, session: &Session) -> Result<Option<GrantId>, RefreshError> {
    match core.in_time(core.pointer.read(session)).await? {
        Ok(pointer) => Ok(pointer),
        // What this crate did not write is left for the new pointer to replace.
        Err(PointerError::Malformed) => Ok(None),
        Err(PointerError::Session(error)) => Err(session_failed(error)),
    }
}

/// A login that was reported to have failed must not come to life with the session's next save. The
/// pointer of another login, which has begun later, stays.
async fn undo(core: &Core, session: &Session, grant: GrantId, before: Option<GrantId>) {
    // What the token store refuses is logged there, and tried again.
    core.endings.end(Login::of(grant), Cause::FailedLogin, None).await;
    take_out(core, session, &[Some(grant), before]).await;
}

/// Takes the pointer to one of these logins out of the session.
async fn take_out(core: &Core, session: &Session, these: &[Option<GrantId>]) {
    let removed = core.in_time(core.pointer.remove_any(session, these)).await;
    if let Err(error) = removed.and_then(|removed| removed.map_err(session_failed)) {
        tracing::warn!(error = %Chain(&error), "after a failed login the session could not be read");
    }
}
