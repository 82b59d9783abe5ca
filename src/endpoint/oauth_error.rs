//! Which error a provider names, and in which words.
//!
//! RFC 6749, section 5.2 has one place for it, the field `error`. Others use `status` (HubSpot),
//! `code`, a list `errors` (Fitbit), an object in `error` (Google's and Microsoft's APIs) or in
//! `data`, or a form instead of JSON (GitHub). A registered code in RFC 6749's place counts before
//! them.

use serde_json::{Map, Value};

use crate::{dpop::USE_DPOP_NONCE, tokens::token_response};

pub(super) const INVALID_GRANT: &str = "invalid_grant";
/// Stands for whatever is not to be repeated at once.
pub(super) const SLOW_DOWN: &str = "slow_down";
/// The user or the provider has said no. Mostly for good, but see
/// [`response`](super::response).
pub(super) const ACCESS_DENIED: &str = "access_denied";
pub(super) const SERVER_ERROR: &str = "server_error";
/// Stands for every code that nobody has registered.
pub(super) const UNREGISTERED: &str = "unregistered code";

/// Words for a refresh token that the provider will never take again, and the codes that ask
/// for the user (OpenID Connect Core 1.0, 3.1.2.6, and Microsoft's documentation): the login is over
/// in both cases. Compared without regard to case, hyphens and underscores.
const AS_INVALID_GRANT: &[&str] = &[
    INVALID_GRANT,
    "account_selection_required",
    "bad_refresh_token",
    "consent_required",
    "expired_refresh_token",
    "expired_token",
    "interaction_required",
    "invalid_refresh_token",
    "invalid_token",
    "login_required",
    "mfa_required",
    "refresh_token_expired",
    "refresh_token_invalid",
    "refresh_token_revoked",
    "revoked_token",
    "token_expired",
    "token_revoked",
];

/// A wrong client id or secret: GitHub, and HubSpot.
const AS_INVALID_CLIENT: &[&str] =
    &["incorrect_client_credentials", "bad_client_id", "bad_client_secret"];

/// The other codes that a token or revocation endpoint may send according to the IANA "OAuth
/// Extensions Error" registry.
const REGISTERED: [&str; 19] = [
    "authorization_pending",
    "incompatible_ace_profiles",
    "insufficient_scope",
    "insufficient_user_authentication",
    "invalid_authorization_details",
    "invalid_client",
    "invalid_dpop_proof",
    "invalid_request",
    "invalid_scope",
    "invalid_target",
    "server_error",
    "slow_down",
    "temporarily_unavailable",
    "unauthorized_client",
    "unsupported_grant_type",
    "unsupported_pop_key",
    "unsupported_response_type",
    "unsupported_token_type",
    USE_DPOP_NONCE,
];

/// The code of an error response: [`INVALID_GRANT`] for all its other words, the registered code,
/// or [`UNREGISTERED`]. None if the body names no error. The provider's own string goes no further,
/// and neither does its `error_description`: that is free text, and some providers put the token
/// into it.
pub(super) fn code(body: &[u8]) -> Option<&'static str> {
    let fields = token_response::fields(body).ok()?;
    if let Some(code) = code_by_description(&fields) {
        return Some(code);
    }
    // RFC 6749's own place counts before the others.
    let stated = fields.get("error").and_then(Value::as_str).map(normal);
    let is_stated = |known: &&str| stated.as_ref() == Some(&normal(known));
    if let Some(code) = REGISTERED.into_iter().chain([ACCESS_DENIED]).find(is_stated) {
        return Some(code);
    }
    let words = words(&fields);
    let is_among = |list: &[&str]| list.iter().any(|known| words.contains(&normal(known)));
    if is_among(AS_INVALID_GRANT) {
        return Some(INVALID_GRANT);
    }
    if is_among(AS_INVALID_CLIENT) {
        return Some("invalid_client");
    }
    let known = REGISTERED.into_iter().find(|known| words.contains(&normal(known)));
    known.or_else(|| fields.get("error").and_then(Value::as_str).map(|_| UNREGISTERED))
}

/// Microsoft says `invalid_grant` in two cases in which the token is alive: it throttles a client
/// that loops (AADSTS50196), and Azure AD B2C has failed (AADB2C90085).
fn code_by_description(fields: &Map<String, Value>) -> Option<&'static str> {
    let text = fields.get("error_description").and_then(Value::as_str).unwrap_or_default();
    let codes = fields.get("error_codes").and_then(Value::as_array);
    let throttles = codes.is_some_and(|codes| codes.iter().any(|code| *code == 50196));
    if throttles || text.contains("AADSTS50196") {
        Some(SLOW_DOWN)
    } else {
        text.contains("AADB2C90085").then_some(SERVER_ERROR)
    }
}

/// `TokenExpired` and `token-expired` are `token_expired`.
fn normal(word: &str) -> String {
    word.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// Everything that may be a code, in its normal form.
fn words(fields: &Map<String, Value>) -> Vec<String> {
    let mut words = Vec::new();
    let mut collect = |fields: &Map<String, Value>, names: &[&str]| {
        let texts = names.iter().filter_map(|name| fields.get(*name)?.as_str());
        words.extend(texts.map(normal));
    };
    collect(fields, &["error", "code", "status"]);
    if let Some(Value::Object(error)) = fields.get("error") {
        collect(error, &["code", "type", "status", "error"]);
    }
    if let Some(Value::Object(data)) = fields.get("data") {
        collect(data, &["error", "code"]);
    }
    if let Some(Value::Array(errors)) = fields.get("errors") {
        for error in errors.iter().filter_map(Value::as_object) {
            collect(error, &["errorType", "code", "type", "field"]);
        }
    }
    words
}

#[cfg(test)]
mod tests;
