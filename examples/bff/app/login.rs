//! The code flow: to the provider, and back.

use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use tower_token_refresh::tower_sessions::{Session, cookie::Cookie};

use super::{
    App,
    attempt::Attempt,
    page::{self, sorry},
    provider::{ProviderError, VerifiedLogin, registered},
    return_path::ReturnPath,
};

/// The session key of the user's name.
pub const NAME: &str = "name";

#[derive(Deserialize)]
pub struct LogIn {
    return_to: Option<String>,
}

/// The query of the callback (RFC 6749, 4.1.2; RFC 9207).
#[derive(Deserialize)]
pub struct Callback {
    state: Option<String>,
    code: Option<String>,
    error: Option<String>,
    iss: Option<String>,
}

/// `GET /auth/login`. A `return_to` that leads to another site is ignored: the user comes back to
/// the home page.
pub(crate) async fn start(
    State(app): State<App>,
    headers: HeaderMap,
    query: Result<Query<LogIn>, QueryRejection>,
) -> Response {
    let Ok(Query(asked)) = query else {
        return sorry(StatusCode::BAD_REQUEST, "Not logged in", "This link is not valid.");
    };
    let return_to = asked.return_to.and_then(|path| ReturnPath::parse(&path, &app.base));
    let return_to = return_to.unwrap_or_else(ReturnPath::home);
    let Ok(request) = app.provider.login_request().await else {
        return page::unavailable();
    };
    let attempt = Attempt::new(request.nonce, request.verifier, return_to, app.clock.now());
    let forgotten = Attempt::surplus(&headers, app.names);
    let mut cookies: Vec<_> =
        forgotten.iter().map(|state| Attempt::removal(app.names, state)).collect();
    cookies.push(attempt.cookie(app.names, &request.state));
    see_other(request.url.as_str(), &cookies)
}

/// `GET /auth/callback`
pub(crate) async fn callback(
    State(app): State<App>,
    session: Session,
    headers: HeaderMap,
    query: Result<Query<Callback>, QueryRejection>,
) -> Response {
    let Ok(Query(Callback { state: Some(state), code, error, iss })) = query else {
        return sorry(
            StatusCode::BAD_REQUEST,
            "Not logged in",
            "This link is not an answer from the identity provider.",
        );
    };
    // First of all: a browser without an attempt of this state did not start this login.
    let Some(attempt) = Attempt::find(&headers, app.names, &state, &app.base, app.clock.now())
    else {
        let text = "This login was not started in this browser, was used before, or took more than ten minutes.";
        return sorry(StatusCode::BAD_REQUEST, "Not logged in", text);
    };
    let mut response = match (code, error) {
        _ if iss.is_some_and(|iss| !app.provider.is_issuer(&iss)) => sorry(
            StatusCode::BAD_REQUEST,
            "Not logged in",
            "The answer comes from another identity provider.",
        ),
        (_, Some(error)) => refused(&registered(&error)),
        (Some(code), None) => finish(&app, &session, code, attempt).await,
        (None, None) => sorry(
            StatusCode::BAD_REQUEST,
            "Not logged in",
            "This link is not an answer from the identity provider.",
        ),
    };
    // Good once, whatever came of it.
    append(&mut response, &Attempt::removal(app.names, &state));
    response
}

async fn finish(app: &App, session: &Session, code: String, attempt: Attempt) -> Response {
    let VerifiedLogin { tokens, name } =
        match app.provider.exchange(code, attempt.nonce, attempt.verifier).await {
            Ok(login) => login,
            Err(error) => return login_failed(&error),
        };
    // Before `log_in`, which saves the session.
    if session.insert(NAME, name).await.is_err() {
        return page::no_session();
    }
    match app.refresher.log_in(session, tokens).await {
        Ok(()) => see_other(&app.base.with_path(attempt.return_to.as_str()), &[]),
        Err(error) => page::failed(&error),
    }
}

/// The provider said no (RFC 6749, 4.1.2.1; OpenID Connect Core 3.1.2.6). Its description is free
/// text and is not shown.
fn refused(code: &str) -> Response {
    tracing::info!(code, "the provider refused a login");
    let (status, text) = match code {
        "access_denied"
        | "consent_required"
        | "interaction_required"
        | "login_required"
        | "account_selection_required" => {
            (StatusCode::FORBIDDEN, "The login was refused or cancelled.")
        }
        "temporarily_unavailable" | "server_error" => return page::unavailable(),
        _ => (
            StatusCode::BAD_GATEWAY,
            "The identity provider does not accept this application's request.",
        ),
    };
    sorry(status, "Not logged in", text)
}

fn login_failed(error: &ProviderError) -> Response {
    tracing::warn!(%error, "a login failed");
    match error {
        ProviderError::Unreachable => page::unavailable(),
        ProviderError::CodeRefused(code) if code == "invalid_grant" => {
            let text = "This login was used before, or took too long.";
            sorry(StatusCode::BAD_REQUEST, "Not logged in", text)
        }
        _ => sorry(
            StatusCode::BAD_GATEWAY,
            "Not logged in",
            "The identity provider's answer cannot be used.",
        ),
    }
}

pub fn see_other(to: &str, cookies: &[Cookie<'_>]) -> Response {
    let Ok(to) = HeaderValue::try_from(to) else {
        return sorry(
            StatusCode::BAD_GATEWAY,
            "Sorry",
            "The identity provider gave an address that cannot be used.",
        );
    };
    let headers =
        [(header::LOCATION, to), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    let mut response = (StatusCode::SEE_OTHER, headers).into_response();
    for cookie in cookies {
        append(&mut response, cookie);
    }
    response
}

fn append(response: &mut Response, cookie: &Cookie<'_>) {
    // A state from outside may not fit into a header. Then no browser has a cookie of that name.
    if let Ok(line) = HeaderValue::try_from(cookie.to_string()) {
        response.headers_mut().append(header::SET_COOKIE, line);
    }
}
