//! `GET /auth/me`: who is logged in, for a page's script.
//!
//! Who the user is was verified at log in, so it is known in an outage, too. What only a fresh
//! access token could tell is `null` then.

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::json;
use tower_token_refresh::{
    AccessToken, Identity, RefreshError, RefreshErrorKind as Kind, StandardClaims,
};

use super::App;

pub(super) async fn me(
    State(app): State<App>,
    user: Identity,
    token: Result<AccessToken, RefreshError>,
) -> Result<Response, RefreshError> {
    let token = match token {
        Ok(token) => Some(token),
        Err(error) if is_outage(&error) => None,
        Err(error) => return Err(error),
    };
    let now = app.clock.now();
    let left = |token: &AccessToken| token.expires_at().duration_since(now).unwrap_or_default();
    let answer = json!({
        "name": name_of(&user),
        "roles": token.as_ref().map(|token| roles_of(token, &app.client_id)),
        "expires_at": token.as_ref().map(|token| httpdate::fmt_http_date(token.expires_at())),
        "expires_in": token.as_ref().map(|token| left(token).as_secs()),
    });
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

/// The login stands, and the token will come.
fn is_outage(error: &RefreshError) -> bool {
    matches!(error.kind(), Kind::Unavailable | Kind::WaitTimeout | Kind::InvalidResponse)
}

fn name_of(user: &StandardClaims) -> &str {
    let names = [&user.name, &user.preferred_username, &user.email, &user.sub];
    names.into_iter().flatten().next().map_or("somebody", String::as_str)
}

/// Those in the realm, then those at this client. An opaque token tells of none.
fn roles_of(token: &AccessToken, client_id: &str) -> Vec<String> {
    let Ok(claims) = token.claims::<StandardClaims>() else { return Vec::new() };
    let mut roles = claims.realm_access.roles.clone();
    let here = claims.resource_access.get(client_id).map(|at_client| &at_client.roles);
    for role in here.into_iter().flatten() {
        if !roles.contains(role) {
            roles.push(role.clone());
        }
    }
    roles
}
