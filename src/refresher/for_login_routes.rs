//! What the login routes take from a refresher: a login is made once, and each of the requests that
//! brought its code gives it to its own session.

use std::time::SystemTime;

use tokio_util::task::TaskTracker;
use tower_sessions::Session;

use super::{TokenRefresher, adopt, ending, log_in};
use crate::{
    back_channel::Tick,
    error::RefreshError,
    token_store::SealKeys,
    tokens::{GrantHandle, TokenSet},
};

impl TokenRefresher {
    /// Makes a login that no session holds yet.
    pub(crate) async fn make_login(
        &self,
        set: TokenSet,
        session_ends: SystemTime,
        began: Option<Tick>,
    ) -> Result<GrantHandle, RefreshError> {
        self.0.run_to_the_end(adopt::adopt(self.0.clone(), set, session_ends, began)).await
    }

    /// When a login begins, for logout tokens that come while it is made.
    pub(crate) fn now_for_logouts(&self) -> Option<Tick> {
        self.0.now_for_logouts()
    }

    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.0.tasks
    }

    /// As [`log_in`](Self::log_in), with a login that was made before. On any error the session has
    /// no login; that one goes on.
    pub(crate) async fn give_login(
        &self,
        session: &Session,
        login: &GrantHandle,
    ) -> Result<(), RefreshError> {
        self.0.run_to_the_end(log_in::give(self.0.clone(), session.clone(), login.0)).await
    }

    /// Ends a login that nobody gets. Its tokens are not revoked: at some providers that would end
    /// the user's other logins.
    pub(crate) async fn drop_login(&self, login: &GrantHandle) {
        let (core, login) = (self.0.clone(), ending::Login::of(login.0));
        let ended = async move {
            core.endings.end(login, ending::Cause::FailedLogin, None).await;
            Ok(())
        };
        // What the token store refuses is logged there, and tried again.
        let _ = self.0.run_to_the_end(ended).await;
    }

    pub(crate) fn seal_keys(&self) -> Option<&SealKeys> {
        self.0.records.codec.keys()
    }

    /// Whether other processes may serve the same logins.
    pub(crate) fn may_be_one_of_several(&self) -> bool {
        self.0.records.compares_and_swaps()
    }
}
