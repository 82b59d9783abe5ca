//! What a provider's answer means. No other module reads one.
//!
//! | answer | [`EndpointErrorKind`](Kind) | token used up? |
//! |---|---|---|
//! | 2xx with a token response | none: the tokens | - |
//! | 2xx with an OAuth error and no token | as a 4xx with that code | as there |
//! | 2xx with anything else: not JSON, no token, over 1 MiB | `InvalidResponse` | maybe |
//! | 3xx: never followed, because the form would go elsewhere | `InvalidResponse` | no |
//! | 429, 503 | `Unavailable` | no |
//! | 4xx or 5xx with the code `temporarily_unavailable` | `Unavailable` | no |
//! | any other 5xx; 4xx with the code `server_error` | `Unavailable` | maybe |
//! | any other status with a word for a refresh token that is dead, or for a user who must log in again: see [`oauth_error`](super::oauth_error) | `InvalidGrant` | - |
//! | 4xx with another registered code | `Rejected` with that code | no |
//! | 4xx with an unregistered code | `Rejected`, "unregistered code" | no |
//! | 4xx without an OAuth error, such as a firewall's 403; 1xx | `InvalidResponse` | no |
//! | a body that broke off, where the status does not decide | `NoAnswer` | maybe |
//!
//! `Unavailable` carries the `Retry-After`. Where there is no answer at all,
//! [`Exchange`](super::exchange::Exchange) reports `NoAnswer` or `Unreachable` itself.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};

use super::{
    error::{EndpointError, EndpointErrorKind as Kind},
    exchange::Answer,
    oauth_error,
};
use crate::{error::LONGEST_RETRY_AFTER, tokens::TokenSet};

/// Reads the answer to a token request (RFC 6749, section 5).
pub(super) fn token_answer(answer: Answer) -> Result<TokenSet, EndpointError> {
    if !answer.status.is_success() {
        return Err(refusal(&answer));
    }
    // The provider has agreed. An unreadable body may have held the only new refresh token.
    let body = answer.body.map_err(EndpointError::maybe_consumed)?;
    TokenSet::from_json(&body).map_err(|error| match oauth_error::code(&body) {
        Some(code) => by_code(code, &answer.headers),
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
    let code = answer.body.as_ref().ok().and_then(|body| oauth_error::code(body));
    let unavailable =
        || EndpointError::new(Kind::Unavailable { retry_after: retry_after(&answer.headers) });

    if status.is_redirection() {
        invalid("is a redirect")
    } else if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        unavailable()
    } else if code == Some(oauth_error::INVALID_GRANT) {
        EndpointError::new(Kind::InvalidGrant)
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

fn by_code(code: &'static str, headers: &HeaderMap) -> EndpointError {
    let unavailable =
        || EndpointError::new(Kind::Unavailable { retry_after: retry_after(headers) });
    match code {
        oauth_error::INVALID_GRANT => EndpointError::new(Kind::InvalidGrant),
        "temporarily_unavailable" => unavailable(),
        "server_error" => unavailable().maybe_consumed(),
        code => EndpointError::new(Kind::Rejected { code }),
    }
}

fn invalid(rule: &'static str) -> EndpointError {
    EndpointError::new(Kind::InvalidResponse { rule })
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
