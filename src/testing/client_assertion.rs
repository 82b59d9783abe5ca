//! Client assertions: `private_key_jwt` and `client_secret_jwt` (RFC 7523, 2.2 and 3; OpenID Connect
//! Core, 9).

use std::{
    collections::HashSet,
    sync::Mutex,
    time::{Duration, SystemTime},
};

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::Jwk};
use serde::Deserialize;

use super::{issuer::lock, wire::Form};
use crate::clock::unix_seconds;

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// An assertion that lives longer is refused: its `jti` would have to be remembered for so long.
const LONGEST_LIFE: Duration = Duration::from_secs(5 * 60);
/// What the issuer accepts, as its discovery document says.
pub(super) const ALGORITHMS: [&str; 10] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA", "HS256"];

/// By which key the client signs its assertions, and which of them came already.
pub(super) struct Assertions {
    key: DecodingKey,
    algorithms: Vec<Algorithm>,
    key_id: Option<String>,
    used: Mutex<HashSet<String>>,
}

/// What an assertion must say.
pub(super) struct Wanted<'a> {
    pub(super) client_id: &'a str,
    /// Any one of them is the issuer.
    pub(super) audiences: [&'a str; 3],
    pub(super) now: SystemTime,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: OneOrMany,
    jti: String,
    exp: u64,
    nbf: Option<u64>,
    iat: Option<u64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Assertions {
    /// Of a client whose public key is `jwk`. Its `alg` and `kid` are required if it has them.
    pub(super) fn by_key(jwk: &serde_json::Value) -> Option<Self> {
        let alg = jwk.get("alg").and_then(|alg| alg.as_str()?.parse::<Algorithm>().ok());
        let jwk: Jwk = serde_json::from_value(jwk.clone()).ok()?;
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        let family = key.family().algorithms().to_vec();
        let algorithms = alg.map_or(family, |alg| vec![alg]);
        Some(Self::new(key, algorithms, jwk.common.key_id))
    }

    /// Of a client that signs by its secret.
    pub(super) fn by_secret(secret: &str) -> Self {
        Self::new(DecodingKey::from_secret(secret.as_bytes()), vec![Algorithm::HS256], None)
    }

    fn new(key: DecodingKey, algorithms: Vec<Algorithm>, key_id: Option<String>) -> Self {
        Self { key, algorithms, key_id, used: Mutex::default() }
    }

    /// Whether the assertion of the form proves that this is the client. It is good once.
    pub(super) fn accept(&self, form: &Form, wanted: &Wanted<'_>) -> bool {
        form.get("client_assertion_type").is_some_and(|kind| kind == JWT_BEARER)
            && form.get("client_assertion").is_some_and(|jwt| self.takes(jwt, wanted))
    }

    /// Whether `jwt` is an assertion of this key. It is good once.
    pub(super) fn takes(&self, jwt: &str, wanted: &Wanted<'_>) -> bool {
        self.verify(jwt, wanted).is_some()
    }

    fn verify(&self, jwt: &str, wanted: &Wanted<'_>) -> Option<()> {
        let header = decode_header(jwt).ok()?;
        let is_signed_so = self.algorithms.contains(&header.alg)
            && (self.key_id.is_none() || self.key_id == header.kid);
        if !is_signed_so {
            return None;
        }
        let mut validation = Validation::new(header.alg);
        // Times are compared below, with the issuer's own clock.
        (validation.validate_exp, validation.validate_nbf) = (false, false);
        validation.validate_aud = false;
        let claims = decode::<Claims>(jwt, &self.key, &validation).ok()?.claims;
        let is_for_us = |audience: &str| wanted.audiences.contains(&audience);
        let has_one_audience = match &claims.aud {
            OneOrMany::One(audience) => is_for_us(audience),
            OneOrMany::Many(audiences) => matches!(&audiences[..], [one] if is_for_us(one)),
        };
        let now = unix_seconds(wanted.now);
        let began = |time: Option<u64>| time.is_none_or(|time| time <= now);
        let is_good = claims.iss == wanted.client_id
            && claims.sub == wanted.client_id
            && has_one_audience
            && claims.exp > now
            && claims.exp <= now + LONGEST_LIFE.as_secs()
            && began(claims.nbf)
            && began(claims.iat)
            && !claims.jti.is_empty();
        (is_good && lock(&self.used).insert(claims.jti)).then_some(())
    }
}
