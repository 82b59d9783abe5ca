//! `POST /logout`: the login ends here, and then the browser's session at the provider (OpenID
//! Connect RP-Initiated Logout 1.0).

use std::sync::Arc;

use axum::{extract::State, response::Response};
use tower_sessions::Session;

use super::{
    callback::see_other,
    error::{NoSession, no_session_layer},
    shared::Shared,
};
use crate::{Logout, RefreshErrorKind, Revocation};

/// Whatever the provider does, the login here has ended. It waits for the provider for 2 s at most.
pub(super) async fn log_out(
    State(login): State<Arc<Shared>>,
    session: Result<Session, NoSession>,
) -> Response {
    let Ok(session) = session else { return login.fail(&no_session_layer()) };
    let outcome = match login.refresher.log_out(&session, Logout::EndSession).await {
        Ok(outcome) => outcome,
        Err(error) => return login.fail(&error.into()),
    };
    let home = login.settings.url(&login.settings.after_logout);
    // Without an ID token the provider would ask whether to log out, and some would go no further.
    let there = outcome.id_token().and_then(|_| outcome.end_session_url(Some(&home)));
    let there = there.filter(|_| is_reachable(&outcome.revocation));
    see_other(there.as_deref().unwrap_or(&home), [])
}

/// A browser that is sent to a provider which does not answer shows an error page of its own, or
/// nothing for a long time.
fn is_reachable(revocation: &Revocation) -> bool {
    match revocation {
        Revocation::InBackground => false,
        Revocation::Failed(error) => error.kind() != RefreshErrorKind::Unavailable,
        _ => true,
    }
}
