//! The log out: here first, then at the provider (OpenID Connect RP-Initiated Logout 1.0).

use axum::{extract::State, response::Response};
use tower_token_refresh::{Logout, tower_sessions::Session};
use url::Url;

use super::{App, login::see_other, page};

/// `POST /auth/logout`. Whatever the provider does, the login here has ended.
pub(crate) async fn log_out(State(app): State<App>, session: Session) -> Response {
    let done = match app.refresher.log_out(&session, Logout::EndSession).await {
        Ok(done) => done,
        Err(error) => return page::failed(&error),
    };
    let home = app.base.with_path("/");
    let Some(id_token) = done.id_token() else { return see_other(&home, &[]) };
    let end_session = match app.endpoint.end_session_endpoint().await {
        Ok(found) => found.and_then(|url| Url::parse(&url).ok()),
        Err(error) => {
            tracing::warn!(?error, "a user was logged out here, but not at the provider");
            None
        }
    };
    let Some(mut to) = end_session else { return see_other(&home, &[]) };
    to.query_pairs_mut()
        .append_pair("id_token_hint", id_token)
        .append_pair("client_id", &app.client_id)
        .append_pair("post_logout_redirect_uri", &home);
    see_other(to.as_str(), &[])
}
