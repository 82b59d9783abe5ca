//! What a provider's answer means. No other module reads one.
//!
//! | answer | [`EndpointErrorKind`](Kind) | token used up? |
//! |---|---|---|
//! | 2xx with a token response | none: the tokens | - |
//! | 2xx with an OAuth error and no token | as a 4xx with that code | as there |
//! | 2xx with anything else: not JSON, no token, over 64 KiB | `InvalidResponse` | maybe |
//! | 3xx: never followed, because the form would go elsewhere | `InvalidResponse` | no |
//! | 429, 503 | `Unavailable` | no |
//! | 4xx or 5xx with the code `temporarily_unavailable` | `Unavailable` | no |
//! | any other 5xx; 4xx with the code `server_error` | `Unavailable` | maybe |
//! | 4xx with `invalid_grant`, or GitHub's `bad_refresh_token` | `InvalidGrant` | - |
//! | 4xx with another registered code | `Rejected` with that code | no |
//! | 4xx with an unregistered code | `Rejected`, "unregistered code" | no |
//! | 4xx without an OAuth error, such as a firewall's 403; 1xx | `InvalidResponse` | no |
//! | a body that broke off, where the status does not decide | `NoAnswer` | maybe |
//!
//! `Unavailable` carries the `Retry-After`. Where there is no answer at all,
//! [`Exchange`](super::exchange::Exchange) reports `NoAnswer` or `Unreachable` itself.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

use super::{
    error::{EndpointError, EndpointErrorKind as Kind},
    exchange::Answer,
};
use crate::{error::LONGEST_RETRY_AFTER, tokens::TokenSet};

/// Reads the answer to a token request (RFC 6749, section 5).
pub(super) fn token_answer(answer: Answer) -> Result<TokenSet, EndpointError> {
    if !answer.status.is_success() {
        return Err(refusal(&answer));
    }
    // The provider has agreed. An unreadable body may have held the only new refresh token.
    let body = answer.body.map_err(EndpointError::maybe_consumed)?;
    TokenSet::from_json(&body).map_err(|error| match oauth_error(&body) {
        Some(code) => by_code(&code, &answer.headers),
        None => invalid("is not a token response").maybe_consumed().with_source(error),
    })
}

/// Reads the answer to a revocation (RFC 7009, section 2.2). Any success counts, also for a token
/// that the provider does not know.
pub(super) fn revocation_answer(answer: &Answer) -> Result<(), EndpointError> {
    if answer.status.is_success() { Ok(()) } else { Err(refusal(answer)) }
}

/// Reads the answer to a request for a document. Its errors say nothing about a refresh token.
pub(super) fn document_answer(answer: Answer) -> Result<bytes::Bytes, EndpointError> {
    match answer.status {
        StatusCode::OK => answer.body,
        status if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => {
            Err(invalid("has a status other than 200"))
        }
        _ => Err(refusal(&answer)),
    }
}

fn refusal(answer: &Answer) -> EndpointError {
    let status = answer.status;
    let code = answer.body.as_ref().ok().and_then(|body| oauth_error(body));
    let code = code.as_deref();
    let unavailable =
        || EndpointError::new(Kind::Unavailable { retry_after: retry_after(&answer.headers) });

    if status.is_redirection() {
        invalid("is a redirect")
    } else if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        unavailable()
    } else if status.is_server_error() {
        if code == Some("temporarily_unavailable") {
            unavailable()
        } else {
            unavailable().maybe_consumed()
        }
    } else if let (true, Some(code)) = (status.is_client_error(), code) {
        by_code(code, &answer.headers)
    } else if let Err(unread) = &answer.body {
        unread.clone()
    } else {
        invalid("is neither a success nor an OAuth error")
    }
}

fn by_code(code: &str, headers: &HeaderMap) -> EndpointError {
    let unavailable =
        || EndpointError::new(Kind::Unavailable { retry_after: retry_after(headers) });
    match code {
        "invalid_grant" | "bad_refresh_token" => EndpointError::new(Kind::InvalidGrant),
        "temporarily_unavailable" => unavailable(),
        "server_error" => unavailable().maybe_consumed(),
        code => EndpointError::new(Kind::Rejected { code: registered(code) }),
    }
}

fn invalid(rule: &'static str) -> EndpointError {
    EndpointError::new(Kind::InvalidResponse { rule })
}

/// The `error` code of an OAuth error response (RFC 6749, section 5.2). Deliberately not its
/// `error_description`: that is free text, and some providers put the token into it.
fn oauth_error(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct OAuthError {
        error: String,
    }
    serde_json::from_slice::<OAuthError>(body).ok().map(|body| body.error)
}

/// The code, if a token or revocation endpoint may send it according to the IANA "OAuth Extensions
/// Error" registry. The provider's own string goes no further.
fn registered(code: &str) -> &'static str {
    const CODES: [&str; 24] = [
        "access_denied",
        "account_selection_required",
        "authorization_pending",
        "consent_required",
        "expired_token",
        "incompatible_ace_profiles",
        "insufficient_scope",
        "insufficient_user_authentication",
        "interaction_required",
        "invalid_authorization_details",
        "invalid_client",
        "invalid_dpop_proof",
        "invalid_request",
        "invalid_scope",
        "invalid_target",
        "invalid_token",
        "login_required",
        "slow_down",
        "unauthorized_client",
        "unsupported_grant_type",
        "unsupported_pop_key",
        "unsupported_response_type",
        "unsupported_token_type",
        "use_dpop_nonce",
    ];
    CODES.into_iter().find(|known| *known == code).unwrap_or("unregistered code")
}

/// `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3). A date counts from the `Date`
/// of the same answer, so that our clock need not agree with the provider's. Without a `Date` it is
/// ignored.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let date = |text| httpdate::parse_http_date(text).ok();

    let value = text(header::RETRY_AFTER)?;
    let wait = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => date(value)?.duration_since(date(text(header::DATE)?)?).unwrap_or_default(),
    };
    Some(wait.min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests;
