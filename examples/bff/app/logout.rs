//! Log out: here first, then at the provider (OpenID Connect RP-Initiated Logout 1.0).

use axum::{extract::State, response::Response};
use tower_token_refresh::{Logout, tower_sessions::Session};

use super::{App, login::see_other, page};

/// `POST /auth/logout`. Whatever the provider does, the login here has ended.
pub(crate) async fn log_out(State(app): State<App>, session: Session) -> Response {
    let outcome = match app.refresher.log_out(&session, Logout::EndSession).await {
        Ok(outcome) => outcome,
        Err(error) => return page::failed(&error),
    };
    let home = app.base.with_path("/");
    // Without an ID token nobody was logged in, and the provider would show a page of questions.
    let at_provider = outcome.id_token().and_then(|_| outcome.end_session_url(Some(&home)));
    see_other(at_provider.as_deref().unwrap_or(&home), &[])
}
