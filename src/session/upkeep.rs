//! Brings a request's own `Session` up to date after a refresh.

use serde_json::Value;
use tower_sessions::{
    Expiry, Session,
    session::{Error, Id},
};

use super::guard::{GuardedStore, SUPPLIED};
use crate::grant::HeldSet;

/// Makes `session` show `set`, which the store already holds under `home`.
///
/// - Unmodified: the newest record takes the place of the request's snapshot.
/// - Modified by something earlier in this request: only our key is set.
/// - Its record has gone, or the grant has moved to another: left alone. tower-sessions answers an emptied session with a removal
///   cookie, and the browser would lose the session it has moved to.
///
/// `slide`: see [`slide_cookie`].
pub(crate) async fn bring_up_to_date(
    session: &Session,
    store: &GuardedStore,
    home: Option<Id>,
    set: &HeldSet,
    slide: bool,
) -> Result<(), Error> {
    let Some(id) = session.id().filter(|id| Some(*id) == home) else {
        return Ok(());
    };
    if session.is_modified() {
        let text = store.entry_of(set)?;
        session.insert_value(&store.inner().key, Value::String(text)).await?;
    } else if let Some(record) = store.load_record(&id).await? {
        // `Session::load` would ask the store once more, and empty the session if the record went in between.
        SUPPLIED.scope(record, session.load()).await?;
    } else {
        return Ok(());
    }
    if slide {
        slide_cookie(session);
    }
    Ok(())
}

/// Marks the session modified where sessions expire on inactivity, so that its cookie is set again.
pub(crate) fn slide_cookie(session: &Session) {
    if let expiry @ Some(Expiry::OnInactivity(_)) = session.expiry() {
        session.set_expiry(expiry);
    }
}
