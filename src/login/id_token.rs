//! The ID token of a login (OpenID Connect Core 1.0, section 3.1.3.7).
//!
//! Signature, `iss`, `aud`, `azp`, `exp`, `iat` and `nbf` are checked as for every token
//! (`endpoint/jwt/verify`). Here is what belongs to a login:
//!
//! | claim | rule |
//! |---|---|
//! | `sub` | not empty; a number counts as its text |
//! | `nonce` | that of the attempt |
//! | `at_hash` | if present: that of the access token (3.1.3.8) |
//! | `auth_time` | if `max_age` was asked for: present, and not longer ago than that |
//!
//! Where the settings of an endpoint without discovery name no keys, the token is believed because
//! it came from the token endpoint over TLS (item 6). A discovery document must name them.

use std::time::SystemTime;

use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, SHA512, digest};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;

use super::{
    attempt::Attempt,
    error::{LoginError, LoginErrorKind as Kind},
};
use crate::{
    endpoint::{Expected, JwtClaims, KeysError, LEEWAY, VerifyError},
    refresher::AtProvider,
    tokens::{
        TokenSet,
        claims::{self, lenient_number, lenient_text},
    },
};

/// The claims of a verified ID token.
pub(super) async fn verify(
    at: &AtProvider,
    tokens: &TokenSet,
    attempt: &Attempt,
    now: SystemTime,
) -> Result<JwtClaims, LoginError> {
    let id_token = tokens.id_token().ok_or_else(|| wrong("the provider sent no ID token"))?;
    let expected = Expected::id_token(at.provider.issuers(), at.provider.client_id());
    let claims = match at.keys.verify(id_token, &expected).await {
        Err(VerifyError::Keys(KeysError::NoUrl)) if at.provider.can_verify() => {
            let why = "the provider's discovery document names no keys (jwks_uri)";
            return Err(LoginError::new(Kind::Misconfigured, why));
        }
        Err(VerifyError::Keys(KeysError::NoUrl)) => {
            claims::payload(id_token).map_err(|error| wrong(UNREADABLE).with_source(error))?
        }
        verified => verified?,
    };
    let sub = claims.get("sub").and_then(lenient_text);
    if sub.is_none_or(|sub| sub.is_empty()) {
        return Err(wrong("the ID token's sub is missing or empty"));
    }
    if claims.get("nonce").and_then(Value::as_str) != Some(&attempt.nonce) {
        return Err(wrong("the ID token's nonce is not that of this login"));
    }
    check_at_hash(id_token, claims.get("at_hash"), tokens.access_token())?;
    if let Some(max_age) = attempt.max_age {
        check_auth_time(claims.get("auth_time"), max_age, now)?;
    }
    Ok(claims)
}

const UNREADABLE: &str = "the ID token cannot be read";

fn check_at_hash(
    id_token: &str,
    at_hash: Option<&Value>,
    access_token: &str,
) -> Result<(), LoginError> {
    let Some(at_hash) = at_hash.filter(|hash| !hash.is_null()) else { return Ok(()) };
    let by = hash_of(id_token).ok_or_else(|| wrong("the ID token's at_hash cannot be computed"))?;
    let hash = digest(by, access_token.as_bytes());
    let (half, _) = hash.as_ref().split_at(hash.as_ref().len() / 2);
    if at_hash.as_str().map(|hash| hash.trim_end_matches('='))
        == Some(BASE64_URL_SAFE_NO_PAD.encode(half).as_str())
    {
        return Ok(());
    }
    Err(wrong("the ID token's at_hash is another access token's"))
}

/// The hash of the token's signature.
fn hash_of(id_token: &str) -> Option<&'static Algorithm> {
    let header = claims::lenient_base64(id_token.split('.').next()?).ok()?;
    let header: JwtClaims = serde_json::from_slice(&header).ok()?;
    match header.get("alg")?.as_str()? {
        "RS256" | "PS256" | "ES256" => Some(&SHA256),
        "RS384" | "PS384" | "ES384" => Some(&SHA384),
        // Ed25519 hashes by SHA-512.
        "RS512" | "PS512" | "EdDSA" => Some(&SHA512),
        _ => None,
    }
}

fn check_auth_time(
    auth_time: Option<&Value>,
    max_age: u64,
    now: SystemTime,
) -> Result<(), LoginError> {
    let Some(auth_time) = auth_time.and_then(lenient_number) else {
        return Err(wrong("max_age was asked for, and the ID token has no auth_time"));
    };
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "no age is that long")]
    let latest = auth_time + max_age as f64 + LEEWAY.as_secs_f64();
    if latest < now {
        return Err(wrong("the user logged in at the provider longer ago than max_age"));
    }
    Ok(())
}

fn wrong(rule: &'static str) -> LoginError {
    LoginError::new(Kind::InvalidResponse, rule)
}
