//! Verifies a JWT (RFC 7519): whether the provider signed it, for this application, and whether it
//! is valid now.
//!
//! The checks, in this order:
//!
//! | part | rule |
//! |---|---|
//! | form | three parts of base64url, at most 256 KiB; header and payload are JSON objects. Standard base64 and padding are read, too: the signature is over the parts as sent |
//! | `crit` | must be absent: no extension is supported (RFC 7515, section 4.1.11) |
//! | `typ` | absent or an expected type, in any case, with or without `application/` |
//! | `iss` | the expected issuer or one accepted beside it, character for character |
//! | `aud` | contains the expected audience, alone or among others |
//! | `azp` | of an ID token, if it has one: this client |
//! | `exp`, `nbf`, `iat` | by our clock, with 60 s of leeway |
//! | `alg` | RS256 to 512, PS256 to 512, ES256, ES384 or EdDSA |
//! | signature | by one of the provider's keys that fit `alg` and `kid`, see below |
//!
//! An expired token passes only if the caller serves stale tokens. `alg` is never `none` and never
//! an algorithm with a shared secret, because the public key would be that secret. Keys that the
//! token itself names (`jku`, `jwk`, `x5u`, `x5c`) are ignored.
//!
//! `azp` follows OpenID Connect Core 1.0 with errata set 2, section 3.1.3.7. Its items 4 and 5 no
//! longer want `azp` beside several `aud`; where one is present, they let a client check that it is
//! itself, and this crate does. Item 3 would also have a client refuse an `aud` that it does not
//! trust: here the provider alone says who else may have the token.
//!
//! Each key that fits `alg` is tried in turn, at most 100 of a key set:
//!
//! | the token's `kid` | tried |
//! |---|---|
//! | names keys, one or more | these |
//! | names none of the set | the keys that have no `kid` |
//! | absent, empty, or neither text nor a number | all |
//!
//! The signature comes last, so that a token that is wrong anyway causes no fetch of keys.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use jsonwebtoken::{Algorithm, DecodingKey, crypto::aws_lc::DEFAULT_PROVIDER};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{jwks::KeySet, keys::KeysError};
use crate::{
    endpoint::issuers::Issuers,
    tokens::claims::{lenient_base64, lenient_number, lenient_text, lenient_texts},
};

/// The longest token to verify.
const MAX_TOKEN: usize = 256 * 1024;
/// How far the clocks of this process and of the provider may differ.
pub(crate) const LEEWAY: Duration = Duration::from_secs(60);

/// The payload of a JWT.
pub(crate) type JwtClaims = Map<String, Value>;

/// What a token must contain. `None` accepts any value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected<'a> {
    /// `iss`.
    pub(crate) issuers: Option<&'a Issuers>,
    /// One of the values of `aud`.
    pub(crate) audience: Option<&'a str>,
    /// `azp`, if present.
    pub(crate) authorized_party: Option<&'a str>,
    /// The accepted values of `typ` in the header, in lower case and without `application/`.
    pub(crate) types: &'a [&'a str],
    /// Claims that must be present, in addition to those with an expected value.
    pub(crate) required: &'a [&'static str],
    /// Whether an expired token passes.
    pub(crate) may_have_expired: bool,
}

impl<'a> Expected<'a> {
    /// An ID token for this client (OpenID Connect Core, 2 and 3.1.3.7).
    pub(crate) fn id_token(issuers: Option<&'a Issuers>, client_id: &'a str) -> Self {
        Self {
            issuers,
            audience: Some(client_id),
            authorized_party: Some(client_id),
            types: &["jwt"],
            required: &["iss", "sub", "exp", "iat"],
            may_have_expired: false,
        }
    }

    /// An access token for an API, in the form of RFC 9068 or of older providers.
    pub(crate) fn access_token(issuers: &'a Issuers, audience: Option<&'a str>) -> Self {
        Self {
            issuers: Some(issuers),
            audience,
            authorized_party: None,
            types: &["at+jwt", "jwt"],
            required: &["exp"],
            may_have_expired: false,
        }
    }
}

/// Why a token was not accepted. It names the part and the rule, never the value.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum VerifyError {
    #[error("the token is over 256 KiB")]
    TooLong,
    #[error("the token is not a signed JWT: it does not have three parts")]
    NotAJwt,
    #[error("the token's {part} is not a JSON object in base64url")]
    Malformed { part: &'static str },
    #[error("the token's signature is not base64url")]
    SignatureForm,
    #[error("the token has a critical header (crit), and none is supported")]
    Critical,
    #[error("the token has another type (typ)")]
    Type,
    #[error("the token's {name} {rule}")]
    Claim { name: &'static str, rule: &'static str },
    #[error("the token's alg is not one of the supported asymmetric algorithms")]
    Algorithm,
    #[error("the provider publishes no key that fits the token's kid and alg")]
    UnknownKey,
    #[error("the token's signature is wrong")]
    Signature,
    #[error("the provider's keys are not available")]
    Keys(#[source] KeysError),
}

/// A parsed token, not verified yet.
pub(crate) struct Jwt<'a> {
    header: Header,
    claims: JwtClaims,
    signed: &'a str,
    signature: Vec<u8>,
}

/// The parts of a header that matter here.
#[derive(Deserialize)]
struct Header {
    alg: Option<Value>,
    kid: Option<Value>,
    typ: Option<Value>,
    crit: Option<Value>,
}

impl<'a> Jwt<'a> {
    pub(crate) fn parse(token: &'a str) -> Result<Self, VerifyError> {
        if token.len() > MAX_TOKEN {
            return Err(VerifyError::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(VerifyError::NotAJwt)?;
        let (header, payload) = signed.split_once('.').ok_or(VerifyError::NotAJwt)?;
        // An encrypted token has five parts (RFC 7516, section 3.1).
        if payload.contains('.') {
            return Err(VerifyError::NotAJwt);
        }
        Ok(Self {
            header: object("header", header)?,
            claims: object("payload", payload)?,
            signed,
            signature: lenient_base64(signature).map_err(|_| VerifyError::SignatureForm)?,
        })
    }

    /// Checks everything but the signature.
    pub(crate) fn check_claims(
        &self,
        expected: &Expected<'_>,
        now: SystemTime,
    ) -> Result<(), VerifyError> {
        if self.header.crit.is_some() {
            return Err(VerifyError::Critical);
        }
        self.check_type(expected.types)?;
        for name in expected.required {
            if matches!(self.claims.get(*name), None | Some(Value::Null)) {
                return Err(VerifyError::Claim { name, rule: "is missing" });
            }
        }
        let iss = self.claims.get("iss").and_then(Value::as_str);
        if let Some(issuers) = expected.issuers
            && !iss.is_some_and(|iss| issuers.accepts(iss, &self.claims))
        {
            return Err(VerifyError::Claim { name: "iss", rule: "is not the provider's issuer" });
        }
        self.check_audience(expected)?;
        self.check_times(expected, now)
    }

    fn check_type(&self, expected: &[&str]) -> Result<(), VerifyError> {
        let Some(found) = &self.header.typ else { return Ok(()) };
        let found = found.as_str().ok_or(VerifyError::Type)?.to_ascii_lowercase();
        // Tokens usually omit the prefix (RFC 7515, section 4.1.9).
        let found = found.strip_prefix("application/").unwrap_or(&found);
        if expected.contains(&found) { Ok(()) } else { Err(VerifyError::Type) }
    }

    fn check_audience(&self, expected: &Expected<'_>) -> Result<(), VerifyError> {
        let audiences = || self.claims.get("aud").map(lenient_texts).unwrap_or_default();
        if let Some(audience) = expected.audience
            && !audiences().iter().any(|found| found == audience)
        {
            return Err(VerifyError::Claim {
                name: "aud",
                rule: "does not contain the expected audience",
            });
        }
        let Some(party) = expected.authorized_party else { return Ok(()) };
        match self.claims.get("azp") {
            None | Some(Value::Null) => Ok(()),
            Some(found) if lenient_text(found).as_deref() == Some(party) => Ok(()),
            Some(_) => Err(VerifyError::Claim { name: "azp", rule: "is another client" }),
        }
    }

    fn check_times(&self, expected: &Expected<'_>, now: SystemTime) -> Result<(), VerifyError> {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let leeway = LEEWAY.as_secs_f64();
        let seconds = |name| match self.claims.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => lenient_number(value)
                .map(Some)
                .ok_or(VerifyError::Claim { name, rule: "is not a number of seconds" }),
        };
        if seconds("exp")?.is_some_and(|exp| exp + leeway <= now) && !expected.may_have_expired {
            return Err(VerifyError::Claim { name: "exp", rule: "has passed" });
        }
        for name in ["iat", "nbf"] {
            if seconds(name)?.is_some_and(|from| from - leeway > now) {
                return Err(VerifyError::Claim { name, rule: "is in the future" });
            }
        }
        Ok(())
    }

    pub(crate) fn check_signature(&self, keys: &KeySet) -> Result<(), VerifyError> {
        let algorithm = self
            .header
            .alg
            .as_ref()
            .and_then(Value::as_str)
            .and_then(accepted)
            .ok_or(VerifyError::Algorithm)?;
        let Some(id) = self.key_id() else {
            return self.check_by(algorithm, keys.all(algorithm));
        };
        match self.check_by(algorithm, keys.named(&id, algorithm)) {
            // The key that the token names may be one that the set does not name, or a newer one.
            Err(VerifyError::UnknownKey) => self
                .check_by(algorithm, keys.nameless(algorithm))
                .map_err(|_| VerifyError::UnknownKey),
            checked => checked,
        }
    }

    /// By the first of `keys` that fits.
    fn check_by<'k>(
        &self,
        algorithm: Algorithm,
        keys: impl Iterator<Item = &'k DecodingKey>,
    ) -> Result<(), VerifyError> {
        let mut checked = Err(VerifyError::UnknownKey);
        for key in keys {
            // Deliberately not `jsonwebtoken::decode`: it reads the system clock, and it panics if
            // some other crate enables the second of its two cryptographic backends.
            let Ok(verifier) = (DEFAULT_PROVIDER.verifier_factory)(&algorithm, key) else {
                continue;
            };
            match verifier.verify(self.signed.as_bytes(), &self.signature) {
                Ok(()) => return Ok(()),
                Err(_) => checked = Err(VerifyError::Signature),
            }
        }
        checked
    }

    fn key_id(&self) -> Option<Cow<'_, str>> {
        self.header.kid.as_ref().and_then(lenient_text).filter(|id| !id.is_empty())
    }

    /// Whether the token names no key. After a key rotation such a token may seem to fit a key that
    /// did not sign it.
    pub(crate) fn names_no_key(&self) -> bool {
        self.key_id().is_none()
    }

    pub(crate) fn into_claims(self) -> JwtClaims {
        self.claims
    }
}

/// The supported algorithms. An explicit list, so that nobody accepts a new algorithm of the
/// library without a review.
fn accepted(name: &str) -> Option<Algorithm> {
    Some(match name {
        "RS256" => Algorithm::RS256,
        "RS384" => Algorithm::RS384,
        "RS512" => Algorithm::RS512,
        "PS256" => Algorithm::PS256,
        "PS384" => Algorithm::PS384,
        "PS512" => Algorithm::PS512,
        "ES256" => Algorithm::ES256,
        "ES384" => Algorithm::ES384,
        "EdDSA" => Algorithm::EdDSA,
        _ => return None,
    })
}

fn object<T: DeserializeOwned>(part: &'static str, encoded: &str) -> Result<T, VerifyError> {
    let malformed = VerifyError::Malformed { part };
    let Ok(json) = lenient_base64(encoded) else { return Err(malformed) };
    // A derived `Deserialize` would accept an array in place of an object.
    if json.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(malformed);
    }
    serde_json::from_slice(&json).map_err(|_| malformed)
}

#[cfg(test)]
mod tests;
