//! Who is logged in: what was verified at log in, whether or not the access token is still good.
//!
//! It asks the token store at most, never the provider: a page that greets its user needs no fresh
//! token, and goes on in an outage.

use std::sync::{Arc, atomic::Ordering};

use tower_sessions::Session;

use super::{
    TokenRefresher,
    asker::Asker,
    confirm::{confirmed, lately_confirmed},
    valid_token::grant_of,
};
use crate::{error::RefreshError, tokens::CachedToken};

impl TokenRefresher {
    /// The newest token of the login that `session` holds, expired or not.
    pub(crate) async fn known_token(
        &self,
        session: &Session,
    ) -> Result<Arc<CachedToken>, RefreshError> {
        let core = &self.0;
        let grant = grant_of(core, session).await?;
        if let Some(token) = lately_confirmed(core, grant, |_, _| true) {
            return Ok(token);
        }
        core.listening.begin(core);
        let known = confirmed(core, grant).await;
        if known.is_err() {
            Asker::Request(session).end_session_if_ended(core, grant).await;
        }
        known
    }

    /// Says once what to use for opaque access tokens. The error of each request says no more.
    pub(crate) fn report_opaque_token(&self, mut error: RefreshError) -> RefreshError {
        if !self.0.reported_opaque.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "a route asks for `Claims`, but the provider's access tokens are opaque: use \
                 `Identity` for who the user is, and let the API judge the token (logged once)"
            );
        }
        error.mark_logged();
        error
    }
}
