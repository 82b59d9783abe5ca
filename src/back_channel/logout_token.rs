//! Whether a logout token is genuine (OpenID Connect Back-Channel Logout 1.0, sections 2.4 and
//! 2.6).
//!
//! | part | rule |
//! |---|---|
//! | signature, header, `iss`, `aud`, `exp`, `nbf` | as for an ID token; keys in the token itself are ignored |
//! | `exp` | deliberately not required: older providers leave it out, and `iat` bounds the life, too |
//! | `typ` | absent, `logout+jwt` or `JWT` |
//! | `iat` | required; at most 5 min ago by our clock, and not in the future; 60 s of leeway |
//! | `jti` | required, not empty |
//! | `events` | an object that has the logout event, itself an object |
//! | `nonce` | must be absent: the token would pass for an ID token |
//! | `sub`, `sid` | at least one; strings, not empty; a whole number counts as a string |

use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::{
    clock::Clock,
    endpoint::{Expected, JwtClaims, Keys, LEEWAY, Provider, VerifyError},
    tokens::claims::{lenient_number, lenient_text},
};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How old a token may be. A provider posts it at once.
pub(super) const WINDOW: Duration = Duration::from_secs(5 * 60);

/// A logout token that has been verified. It has `sub`, `sid` or both.
pub(crate) struct LogoutToken {
    pub(crate) subject: Option<String>,
    pub(crate) sid: Option<String>,
    pub(crate) jti: String,
}

/// The rule that a token breaks; never its value.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Fault {
    #[error("it does not verify")]
    Unverified(#[source] VerifyError),
    #[error("its {name} {rule}")]
    Claim { name: &'static str, rule: &'static str },
    #[error("it names neither a session (sid) nor a user (sub)")]
    NamesNobody,
    #[error("it has been used before (jti)")]
    Seen,
    #[cfg(feature = "axum")]
    #[error("the request {0}")]
    Form(&'static str),
}

pub(crate) async fn verify(
    token: &str,
    provider: &Provider,
    keys: &Keys,
    clock: &Clock,
) -> Result<LogoutToken, Fault> {
    // `None` would accept any issuer.
    let Some(issuers) = provider.issuers() else {
        return Err(Fault::Claim { name: "iss", rule: "cannot be checked: no issuer is set" });
    };
    let expected = Expected {
        issuers: Some(issuers),
        audience: Some(provider.client_id()),
        authorized_party: None,
        types: &["logout+jwt", "jwt"],
        required: &["iss", "aud", "iat", "events"],
        may_have_expired: false,
    };
    let claims = keys.verify(token, &expected).await.map_err(Fault::Unverified)?;
    read(&claims, clock.now())
}

pub(crate) fn read(claims: &JwtClaims, now: SystemTime) -> Result<LogoutToken, Fault> {
    check_age(claims, now)?;
    if !claims["events"].get(EVENT).is_some_and(Value::is_object) {
        return Err(Fault::Claim {
            name: "events",
            rule: "do not hold the logout event as an object",
        });
    }
    if claims.contains_key("nonce") {
        return Err(Fault::Claim { name: "nonce", rule: "must not be there" });
    }
    let jti = text(claims, "jti")?.ok_or(Fault::Claim { name: "jti", rule: "is missing" })?;
    let (subject, sid) = (text(claims, "sub")?, text(claims, "sid")?);
    if subject.is_none() && sid.is_none() {
        return Err(Fault::NamesNobody);
    }
    Ok(LogoutToken { subject, sid, jti })
}

/// The signature check has already refused a token from the future.
fn check_age(claims: &JwtClaims, now: SystemTime) -> Result<(), Fault> {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let oldest = now.saturating_sub(WINDOW + LEEWAY).as_secs_f64();
    match lenient_number(&claims["iat"]) {
        Some(issued_at) if issued_at >= oldest => Ok(()),
        _ => Err(Fault::Claim { name: "iat", rule: "is too long ago" }),
    }
}

/// A number is read as text, as it was read at log in.
fn text(claims: &JwtClaims, name: &'static str) -> Result<Option<String>, Fault> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    match lenient_text(value) {
        Some(text) if !text.is_empty() => Ok(Some(text.into_owned())),
        _ => Err(Fault::Claim { name, rule: "is not a string with something in it" }),
    }
}

#[cfg(test)]
mod tests;
