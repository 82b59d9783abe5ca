//! Whether an ID token proves who logged in (OpenID Connect Core 1.0, 3.1.3.7 and 3.1.3.8).
//!
//! The verifier of `openidconnect` reads claims strictly: an issuer that is no URL, a `sub` that is
//! a number and two keys with one `kid` all fail. Providers send these, and the refresher takes
//! them. So the keys and the signatures are the work of `openidconnect`, and the claims are read
//! here, as leniently as the refresher reads them.

use std::time::SystemTime;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use openidconnect::{
    AccessToken, AccessTokenHash, JsonWebKey,
    core::{CoreJsonWebKey, CoreJsonWebKeySet, CoreJwsSigningAlgorithm},
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tower_token_refresh::{StandardClaims, TokenSet};

use super::{failures::Rejected, issuers::Issuers};

/// No algorithm with a shared secret: the public key would be that secret.
const ALGORITHMS: [&str; 9] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];
/// The most keys to try.
const MOST_KEYS: usize = 100;

/// What an ID token must hold.
pub(super) struct Expected<'a> {
    pub(super) issuers: &'a Issuers,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
    pub(super) now: SystemTime,
}

/// The claims of the ID token of `tokens`, if it was signed with one of `keys`, for this login.
pub(super) fn verify(
    tokens: &TokenSet,
    expected: &Expected<'_>,
    keys: &CoreJsonWebKeySet,
) -> Result<StandardClaims, Rejected> {
    const NO_JWT: Rejected = Rejected::Other("it is no signed JWT");
    let token = tokens.id_token().ok_or(Rejected::Missing)?;
    let (signed, signature) = token.rsplit_once('.').ok_or(NO_JWT)?;
    let (header, payload) = signed.split_once('.').ok_or(NO_JWT)?;
    let header: Map<String, Value> = json(header).ok_or(NO_JWT)?;
    let claims: Map<String, Value> = json(payload).ok_or(NO_JWT)?;
    let signature = bytes(signature).ok_or(NO_JWT)?;

    check_header(&header)?;
    let read = read(&claims)?;
    check_claims(&claims, &read, expected)?;
    let algorithm = algorithm(&header)?;
    let key = signing_key(keys, text(&header, "kid"), &algorithm, signed, &signature)?;
    if let Some(hash) = claims.get("at_hash") {
        let actual = AccessTokenHash::from_token(
            &AccessToken::new(tokens.access_token().to_owned()),
            &algorithm,
            key,
        )
        .map_err(|_| Rejected::Other("its at_hash cannot be computed"))?;
        if hash.as_str() != Some(actual.as_str()) {
            return Err(Rejected::Other("its at_hash is another access token's"));
        }
    }
    Ok(read)
}

fn check_header(header: &Map<String, Value>) -> Result<(), Rejected> {
    // An extension that is not understood (RFC 7515, 4.1.11).
    let critical = header.get("crit").is_some_and(|value| !value.is_null());
    let other_type = header.get("typ").filter(|value| !value.is_null()).is_some_and(|typ| {
        let typ = typ.as_str().unwrap_or_default().to_ascii_lowercase();
        !matches!(typ.as_str(), "jwt" | "application/jwt")
    });
    if critical || other_type { Err(Rejected::Other("it is of another type")) } else { Ok(()) }
}

fn check_claims(
    claims: &Map<String, Value>,
    read: &StandardClaims,
    expected: &Expected<'_>,
) -> Result<(), Rejected> {
    let iss = claims.get("iss").and_then(Value::as_str);
    let tenant = text(claims, "tid");
    if !iss.is_some_and(|iss| expected.issuers.may_sign(iss, tenant)) {
        return Err(Rejected::Other("it is another issuer's"));
    }
    let for_us = read.aud.iter().any(|audience| audience == expected.client_id);
    let party = claims.get("azp").filter(|value| !value.is_null());
    if !for_us || (party.is_some() && read.azp.as_deref() != Some(expected.client_id)) {
        return Err(Rejected::Other("it is for another client"));
    }
    let now = expected.now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    if read.exp.is_none_or(|exp| exp <= now) {
        return Err(Rejected::Other("it has expired"));
    }
    if read.iat.is_none() || read.sub.as_ref().is_none_or(String::is_empty) {
        return Err(Rejected::Other("it does not hold to the rules"));
    }
    if text(claims, "nonce") != Some(expected.nonce) {
        return Err(Rejected::Other("it answers another login"));
    }
    Ok(())
}

fn algorithm(header: &Map<String, Value>) -> Result<CoreJwsSigningAlgorithm, Rejected> {
    let named = header.get("alg").filter(|alg| ALGORITHMS.iter().any(|known| *alg == known));
    named
        .and_then(|alg| serde_json::from_value(alg.clone()).ok())
        .ok_or(Rejected::Other("it is not signed with a public key's algorithm"))
}

/// The key that has signed: each that fits is tried. Where none has the token's `kid`, those that
/// have none.
fn signing_key<'k>(
    keys: &'k CoreJsonWebKeySet,
    kid: Option<&str>,
    algorithm: &CoreJwsSigningAlgorithm,
    signed: &str,
    signature: &[u8],
) -> Result<&'k CoreJsonWebKey, Rejected> {
    let id = |key: &CoreJsonWebKey| key.key_id().map(|id| id.as_str().to_owned());
    let named = |key: &&CoreJsonWebKey| kid.is_none() || id(key).as_deref() == kid;
    let nameless = |key: &&CoreJsonWebKey| id(key).is_none_or(|id| id.is_empty());
    let is_named = keys.keys().iter().any(|key| named(&key));
    let tried = keys.keys().iter().filter(|key| if is_named { named(key) } else { nameless(key) });
    let mut tried = tried.take(MOST_KEYS);
    let found =
        tried.find(|key| key.verify_signature(algorithm, signed.as_bytes(), signature).is_ok());
    found.ok_or(if kid.is_some() && is_named {
        Rejected::Other("its signature is wrong")
    } else {
        Rejected::UnknownKey
    })
}

fn read(claims: &Map<String, Value>) -> Result<StandardClaims, Rejected> {
    serde_json::from_value(Value::Object(claims.clone()))
        .map_err(|_| Rejected::Other("it does not hold to the rules"))
}

/// Text that is not empty.
fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn json<T: DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&bytes(part)?).ok()
}

/// base64url, or standard base64, with or without padding.
fn bytes(part: &str) -> Option<Vec<u8>> {
    let url_safe = part.trim_end_matches('=').replace('+', "-").replace('/', "_");
    BASE64_URL_SAFE_NO_PAD.decode(url_safe).ok()
}
