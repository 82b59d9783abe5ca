//! The handler for the provider's logout tokens (OpenID Connect Back-Channel Logout 1.0, sections
//! 2.5 to 2.8).
//!
//! | answer | when |
//! |---|---|
//! | 200 | the logins have ended, or there were none |
//! | 400 `{"error":"invalid_request"}` | not a form of at most 64 KiB with exactly one `logout_token`, or the token was refused |
//! | 503 `{"error":"temporarily_unavailable"}` | a token that may be sent again: see [`BackChannelError::Unavailable`] and [`BackChannelError::UnderWay`] |
//!
//! All with `Cache-Control: no-store`; the 503 with `Retry-After`. Section 2.8 wants a 400 also for
//! a logout that failed. Deliberately not done: a provider that gives up after a 400 would leave a
//! session that its next attempt could have ended.

use axum::{
    Json,
    extract::Request,
    response::{IntoResponse, Response},
    routing::{MethodRouter, post},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use serde_json::json;

use super::problem::whole_seconds;
use crate::{
    back_channel::{BackChannelError, Fault},
    refresher::TokenRefresher,
};

const MAX_FORM: usize = 64 * 1024;

pub(crate) fn route<S: Clone + Send + Sync + 'static>(
    refresher: TokenRefresher,
) -> MethodRouter<S> {
    post(async move |request: Request| answer(refresher.end_logins(request).await))
}

impl TokenRefresher {
    async fn end_logins(&self, request: Request) -> Result<(), BackChannelError> {
        let token = logout_token(request).await.map_err(BackChannelError::from);
        let token = token.inspect_err(|error| self.report_refused_logout(error))?;
        self.end_by_logout_token(&token).await
    }
}

async fn logout_token(request: Request) -> Result<String, Fault> {
    if !is_form(request.headers()) {
        return Err(Fault::Form("is not application/x-www-form-urlencoded"));
    }
    let body = Limited::new(request.into_body(), MAX_FORM).collect().await;
    let body = body.map_err(|_| Fault::Form("is over 64 KiB, or broke off"))?.to_bytes();
    read_form(&body)
}

fn is_form(headers: &HeaderMap) -> bool {
    let essence = |value: &HeaderValue| {
        let essence = value.to_str().ok()?.split(';').next()?.trim();
        Some(essence.eq_ignore_ascii_case("application/x-www-form-urlencoded"))
    };
    headers.get(header::CONTENT_TYPE).and_then(essence).unwrap_or(false)
}

/// Other fields are ignored (2.5).
fn read_form(body: &[u8]) -> Result<String, Fault> {
    let mut tokens = url::form_urlencoded::parse(body).filter(|(name, _)| name == "logout_token");
    match (tokens.next(), tokens.next()) {
        (Some((_, token)), None) => Ok(token.into_owned()),
        (None, _) => Err(Fault::Form("has no logout_token")),
        (Some(_), Some(_)) => Err(Fault::Form("has several logout_token")),
    }
}

fn answer(ended: Result<(), BackChannelError>) -> Response {
    let no_store = [(header::CACHE_CONTROL, "no-store")];
    let later = |wait: u64| {
        let retry = [(header::RETRY_AFTER, wait.to_string())];
        let body = Json(json!({ "error": "temporarily_unavailable" }));
        (StatusCode::SERVICE_UNAVAILABLE, no_store.clone(), retry, body).into_response()
    };
    let (status, error) = match ended {
        Ok(()) => return (StatusCode::OK, no_store).into_response(),
        Err(BackChannelError::Refused(_)) => (StatusCode::BAD_REQUEST, "invalid_request"),
        Err(BackChannelError::UnderWay) => return later(1),
        Err(BackChannelError::Unavailable(error)) => {
            return later(error.retry_after().map_or(1, whole_seconds));
        }
        Err(BackChannelError::TurnedOff) => (StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
    };
    (status, no_store, Json(json!({ "error": error }))).into_response()
}
