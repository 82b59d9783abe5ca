//! What a provider's answer means. No other module reads one.
//!
//! | answer | [`EndpointErrorKind`](Kind) | token used up? |
//! |---|---|---|
//! | 2xx with an access token | none: the tokens | - |
//! | 2xx with no usable access token, but a new refresh token | `InvalidResponse`, and the new token is kept | - |
//! | 2xx with an OAuth error and no token | as a 4xx with that code | as there |
//! | 2xx that broke off behind a new refresh token | as if it were whole | - |
//! | 2xx with anything else: no token, too long, not readable | `InvalidResponse` | maybe |
//! | 3xx: never followed, because the form would go elsewhere | `InvalidResponse` | no |
//! | 429 | `TryLater` | no |
//! | 503 | `Unavailable` | no |
//! | the code `slow_down` | `TryLater` | no |
//! | `access_denied` with a 5xx | `Unavailable` | maybe |
//! | `access_denied` with a 4xx but 400 and 403 | `Rejected` | no |
//! | a word for a refresh token that is dead, or for a user who must log in again: see [`oauth_error`] | `InvalidGrant` | - |
//! | the code `temporarily_unavailable` | `Unavailable` | no |
//! | any other 5xx; the code `server_error` | `Unavailable` | maybe |
//! | 4xx with another registered code | `Rejected` with that code | no |
//! | 4xx with an unregistered code | `Rejected`, "unregistered code" | no |
//! | a body that broke off, where the status does not decide | `NoAnswer` | maybe |
//! | 408, 421, 425 | `TryLater` | no |
//! | any other 4xx, such as a firewall's 403; 1xx | `InvalidResponse` | no |
//!
//! The first row that fits counts. `TryLater` and `Unavailable` carry the `Retry-After`. Where there
//! is no answer at all, [`Exchange`](super::exchange::Exchange) reports `NoAnswer` or `Unreachable`
//! itself.
//!
//! Some answers may mean that this one refresh token is dead, in words that nobody documented. They
//! are marked as `perhaps_dead`, and the refresher counts them: a 2xx with nothing usable, if it is
//! no HTML page and no token of another type; any 5xx but 503; `access_denied` but with 400 and
//! 403; `server_error`, `invalid_request`, `unauthorized_client` and unregistered codes; a 4xx
//! without a code. Not so what a gateway or a firewall says: 404, 407, 408, 421, 425, and an HTML
//! page with anything but 401.
//!
//! Others may pass by themselves (`may_pass`): `invalid_client` while a secret is being changed, 408,
//! 421 and 425, a gateway's 404, and `use_dpop_nonce`. Others are about one request alone
//! (`of_one_request`): `invalid_target`, `invalid_scope`, and what is said of a DPoP proof.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, header};
use secrecy::ExposeSecret;

use super::{
    error::{EndpointError, EndpointErrorKind as Kind},
    exchange::{Answer, BrokenBody},
    oauth_error,
};
use crate::{
    dpop::{DpopKey, USE_DPOP_NONCE},
    error::LONGEST_RETRY_AFTER,
    tokens::{NewRefreshToken, TokenSet, TokenSetError, Unusable, token_response},
};

/// What a provider gave for a refresh token.
pub(crate) enum Granted {
    Tokens(Box<TokenSet>),
    /// The access token is missing, or cannot be used. The new refresh token is kept all the same:
    /// the old one is used up.
    RefreshTokenOnly(NewRefreshToken, EndpointError),
}

/// Reads the answer to a token request (RFC 6749, section 5).
///
/// `presented`: the refresh token of the request. An error may repeat it, which is no new one.
/// `key`: whose proof was sent.
pub(super) fn token_answer(
    answer: Answer,
    presented: &str,
    key: Option<&DpopKey>,
) -> Result<Granted, EndpointError> {
    if !answer.status.is_success() {
        return Err(refusal(&answer));
    }
    let is_page = is_page(&answer);
    let (body, broke_off) = match answer.body {
        Ok(body) => (body, None),
        Err(BrokenBody { error, received }) => (received, Some(error)),
    };
    let read = token_response::read(&body, broke_off.is_none());
    let read = read.and_then(|tokens| bound_to(tokens, key));
    if let Some(error) = broke_off
        && !has_new_refresh_token(&read, presented)
    {
        // The provider has agreed, and the rest may have held the only new refresh token.
        return Err(error.maybe_consumed());
    }
    let Unusable { error, refresh_token } = match read {
        Ok(tokens) => return Ok(Granted::Tokens(Box::new(tokens))),
        Err(unusable) => unusable,
    };
    let invalid = |error| invalid("is not a token response").with_source(error);
    let refresh_token = refresh_token.filter(|new| new.token.expose_secret() != presented);
    match (refresh_token, oauth_error::code(&body)) {
        (Some(token), _) => Ok(Granted::RefreshTokenOnly(token, invalid(error))),
        (None, Some(code)) => Err(by_code(code, &answer.headers)),
        // It has granted something, which only this client cannot use.
        (None, None) if is_page || is_of_another_type(&error) => {
            Err(invalid(error).maybe_consumed())
        }
        (None, None) => Err(invalid(error).maybe_consumed().perhaps_dead()),
    }
}

/// The tokens keep the key that they were asked for with, whatever their type is: the refresh token
/// may be bound alone. Nobody can use an access token that is bound to a key which was not ours.
fn bound_to(tokens: TokenSet, key: Option<&DpopKey>) -> Result<TokenSet, Unusable> {
    let tokens = TokenSet { dpop_key: key.cloned(), ..tokens };
    if tokens.lacks_dpop_key() {
        let rule = "is DPoP, and no proof was sent";
        let error = TokenSetError::Field { field: "token_type", rule };
        return Err(Unusable { error, refresh_token: tokens.into_new_refresh_token() });
    }
    Ok(tokens)
}

fn is_of_another_type(error: &TokenSetError) -> bool {
    matches!(error, TokenSetError::Field { field: "token_type", .. })
}

fn has_new_refresh_token(read: &Result<TokenSet, Unusable>, presented: &str) -> bool {
    let token = match read {
        Ok(tokens) => tokens.refresh_token.as_ref(),
        Err(unusable) => unusable.refresh_token.as_ref().map(|new| &new.token),
    };
    token.is_some_and(|token| token.expose_secret() != presented)
}

/// Reads the answer to a revocation (RFC 7009, section 2.2). Any success counts, also for a token
/// that the provider does not know.
pub(super) fn revocation_answer(answer: &Answer) -> Result<(), EndpointError> {
    if answer.status.is_success() { Ok(()) } else { Err(refusal(answer)) }
}

/// Reads the answer to a pushed authorization request (RFC 9126, section 2.2): 201, or 200 of those
/// who do not know better.
#[cfg(feature = "login")]
pub(super) fn pushed_answer(answer: Answer) -> Result<bytes::Bytes, EndpointError> {
    if !answer.status.is_success() {
        return Err(refusal(&answer));
    }
    answer.body.map_err(|broken| broken.error)
}

/// Reads the answer to a request for a document. Its errors say nothing about a refresh token,
/// whatever words stand in it.
pub(super) fn document_answer(answer: Answer) -> Result<bytes::Bytes, EndpointError> {
    let status = answer.status;
    if status == StatusCode::OK {
        answer.body.map_err(|broken| broken.error)
    } else if status == StatusCode::TOO_MANY_REQUESTS {
        Err(try_later(&answer.headers))
    } else if status.is_server_error() {
        Err(EndpointError::new(Kind::Unavailable { retry_after: retry_after(&answer.headers) }))
    } else {
        Err(invalid("has a status other than 200"))
    }
}

fn refusal(answer: &Answer) -> EndpointError {
    let status = answer.status;
    let code = answer.body.as_ref().ok().and_then(|body| oauth_error::code(body));
    let unavailable =
        || EndpointError::new(Kind::Unavailable { retry_after: retry_after(&answer.headers) });

    if status.is_redirection() {
        invalid("is a redirect")
    } else if status == StatusCode::TOO_MANY_REQUESTS {
        try_later(&answer.headers)
    } else if status == StatusCode::SERVICE_UNAVAILABLE {
        unavailable()
    } else if code == Some(oauth_error::SLOW_DOWN) {
        try_later(&answer.headers)
    } else if code == Some(oauth_error::ACCESS_DENIED) {
        access_denied(answer)
    } else if code == Some(oauth_error::INVALID_GRANT) {
        EndpointError::new(Kind::InvalidGrant)
    } else if status.is_server_error() {
        if code == Some("temporarily_unavailable") {
            unavailable()
        } else {
            unavailable().maybe_consumed().perhaps_dead()
        }
    } else if let (true, Some(code)) = (status.is_client_error(), code) {
        by_code(code, &answer.headers)
    } else if let Err(broken) = &answer.body {
        broken.error.clone()
    } else {
        without_code(answer)
    }
}

/// The end of a login with 400, 403 or a success only: Auth0 says the same with 401 for a wrong
/// client secret, and with 500 when too many requests come.
fn access_denied(answer: &Answer) -> EndpointError {
    let ends = matches!(answer.status, StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN);
    if ends || answer.status.is_success() {
        EndpointError::new(Kind::InvalidGrant)
    } else if answer.status.is_server_error() {
        let retry_after = retry_after(&answer.headers);
        EndpointError::new(Kind::Unavailable { retry_after }).maybe_consumed().perhaps_dead()
    } else {
        EndpointError::new(Kind::Rejected { code: oauth_error::ACCESS_DENIED }).perhaps_dead()
    }
}

/// A 4xx that no OAuth server has written, or one that keeps its reasons to itself.
fn without_code(answer: &Answer) -> EndpointError {
    let refused = invalid("is neither a success nor an OAuth error");
    match answer.status {
        // Request Timeout, Misdirected Request, Too Early (RFC 8470).
        status if matches!(status.as_u16(), 408 | 421 | 425) => {
            try_later(&answer.headers).may_pass()
        }
        StatusCode::NOT_FOUND => refused.may_pass(),
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => refused,
        StatusCode::UNAUTHORIZED => refused.perhaps_dead(),
        _ if is_page(answer) => refused,
        status if status.is_client_error() => refused.perhaps_dead(),
        _ => refused,
    }
}

/// Whether a person is meant to read it, as with a firewall's refusal.
fn is_page(answer: &Answer) -> bool {
    let kind = answer.headers.get(header::CONTENT_TYPE).map(http::HeaderValue::as_bytes);
    let says_html = kind.is_some_and(|kind| kind.to_ascii_lowercase().starts_with(b"text/html"));
    let body = answer.body.as_deref().unwrap_or_default();
    says_html || body.trim_ascii_start().starts_with(b"<")
}

fn try_later(headers: &HeaderMap) -> EndpointError {
    EndpointError::new(Kind::TryLater { retry_after: retry_after(headers) })
}

fn by_code(code: &'static str, headers: &HeaderMap) -> EndpointError {
    let unavailable =
        || EndpointError::new(Kind::Unavailable { retry_after: retry_after(headers) });
    let rejected = EndpointError::new(Kind::Rejected { code });
    match code {
        oauth_error::INVALID_GRANT | oauth_error::ACCESS_DENIED => {
            EndpointError::new(Kind::InvalidGrant)
        }
        "temporarily_unavailable" => unavailable(),
        oauth_error::SLOW_DOWN => try_later(headers),
        oauth_error::SERVER_ERROR => unavailable().maybe_consumed().perhaps_dead(),
        "invalid_client" => rejected.may_pass(),
        "invalid_target" | "invalid_scope" => {
            let check = "check the scope, audience and resource, and what the client may ask for";
            rejected.of_one_request().with_hint(check)
        }
        "invalid_dpop_proof" => rejected.of_one_request(),
        // The nonces of many requests may have crossed.
        USE_DPOP_NONCE => rejected.of_one_request().may_pass(),
        "invalid_request" | "unauthorized_client" | oauth_error::UNREGISTERED => {
            rejected.perhaps_dead()
        }
        _ => rejected,
    }
}

fn invalid(rule: &'static str) -> EndpointError {
    EndpointError::new(Kind::InvalidResponse { rule })
}

/// `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3). A date counts from the `Date`
/// of the same answer, so that our clock need not agree with the provider's. Without a `Date` it is
/// ignored.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let is_seconds = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let wait = if is_seconds {
        // A number too large for any type is a long wait all the same.
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        let until = httpdate::parse_http_date(value).ok()?;
        until.duration_since(date(headers)?).unwrap_or_default()
    };
    Some(wait.min(LONGEST_RETRY_AFTER))
}

/// When the provider answered, by its own clock (RFC 9110, section 6.6.1).
pub(super) fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(header::DATE)?.to_str().ok()?.trim()).ok()
}

#[cfg(test)]
mod tests;
