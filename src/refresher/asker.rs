//! Who asks for a token of a login, and what becomes of a session with it.

use std::time::SystemTime;

use tower_sessions::Session;

use super::{Core, ending::Login, errors::session_failed, prolong::prolong};
use crate::{error::Chain, tokens::GrantId};

#[derive(Clone, Copy)]
pub(super) enum Asker<'a> {
    /// A request, by its session.
    Request(&'a Session),
    /// Whoever keeps the login itself, with or without a session that points to it as well. A
    /// session that nobody is asking with is left alone.
    Holder {
        /// When that session ended, as it was known last.
        session_ends: SystemTime,
    },
}

impl Asker<'_> {
    /// Until when the session lasts that points to the login.
    pub(super) fn session_ends(self) -> SystemTime {
        match self {
            Self::Request(session) => session.expiry_date().into(),
            Self::Holder { session_ends } => session_ends,
        }
    }

    /// It has started a refresh.
    pub(super) async fn count_as_activity(self, core: &Core) {
        if let Self::Request(session) = self {
            prolong(core, session).await;
        }
    }

    /// A login that ended with its session takes it along, whatever else it holds.
    pub(super) async fn end_session_if_ended(self, core: &Core, grant: GrantId) {
        let Self::Request(session) = self else { return };
        let ending = core.ended_here.get(Login::of(grant).key);
        if !ending.is_some_and(|ending| ending.with_session) {
            return;
        }
        let flushed = core.in_time(session.flush()).await;
        if let Err(error) = flushed.and_then(|flushed| flushed.map_err(session_failed)) {
            tracing::warn!(error = %Chain(&error), "a session that ended with its login is still stored");
        }
    }
}
