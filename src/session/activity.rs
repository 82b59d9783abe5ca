//! A refresh counts as activity of the request that started it, and so prolongs its session.

use tower_sessions::{Expiry, Session, SessionStore, session::Error};

use super::guard::{GuardedStore, SUPPLIED};

/// Marks `session` modified where sessions expire on inactivity, so that its record and its cookie
/// last longer. Where nothing in it is modified yet, it is loaded again first: a slow request must
/// not save its old snapshot over newer data of the application.
///
/// A session whose record has gone is left alone. tower-sessions would answer with a removal
/// cookie, and a browser that has moved on to another session id would lose that.
pub(crate) async fn count_as_activity(
    session: &Session,
    store: &GuardedStore,
) -> Result<(), Error> {
    let expiry @ Some(Expiry::OnInactivity(_)) = session.expiry() else { return Ok(()) };
    if !session.is_modified() {
        let Some(id) = session.id() else { return Ok(()) };
        let Some(record) = store.load(&id).await? else { return Ok(()) };
        // `Session::load` would ask the store once more, and empty the session if the record went
        // in between.
        SUPPLIED.scope(record, session.load()).await?;
    }
    session.set_expiry(expiry);
    Ok(())
}
