//! [`KeySet`]: the provider's public keys (RFC 7517) that can verify a token.

use std::borrow::Cow;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk},
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::tokens::claims::{lenient_base64, lenient_text, lenient_texts};

/// The most keys to keep of a set, and with that the most to try for a token. Providers publish two
/// or three.
const MOST_KEYS: usize = 100;

/// The keys that may have signed a token. Parsing skips all other keys, such as encryption keys,
/// symmetric keys and unknown types, without an error.
pub(crate) struct KeySet(Vec<Key>);

struct Key {
    /// None if it is empty.
    id: Option<String>,
    /// The algorithm that the key names, else all algorithms of its type and curve.
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// The document is not a JSON object with a list of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotAKeySet {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl KeySet {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, NotAKeySet> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Value>,
        }
        // Deliberately without serde_json's message, which would quote the document.
        let document: Document = serde_json::from_slice(body)
            .map_err(|error| NotAKeySet { line: error.line(), column: error.column() })?;
        Ok(Self(document.keys.iter().filter_map(Key::of).take(MOST_KEYS).collect()))
    }

    /// The keys of this id that sign with `algorithm`. Providers should give each key another id,
    /// but not all do (RFC 7517, section 4.5).
    pub(crate) fn named(&self, id: &str, by: Algorithm) -> impl Iterator<Item = &DecodingKey> {
        self.fitting(by, move |key| key.id.as_deref() == Some(id))
    }

    /// The keys without an id that sign with `algorithm`.
    pub(crate) fn nameless(&self, by: Algorithm) -> impl Iterator<Item = &DecodingKey> {
        self.fitting(by, |key| key.id.is_none())
    }

    /// All keys that sign with `algorithm`.
    pub(crate) fn all(&self, by: Algorithm) -> impl Iterator<Item = &DecodingKey> {
        self.fitting(by, |_| true)
    }

    fn fitting(
        &self,
        by: Algorithm,
        fits: impl Fn(&Key) -> bool,
    ) -> impl Iterator<Item = &DecodingKey> {
        let keys = self.0.iter().filter(move |key| fits(key) && key.algorithms.contains(&by));
        keys.map(|key| &key.key)
    }
}

impl Key {
    fn of(jwk: &Value) -> Option<Self> {
        if !is_for_verifying(jwk) {
            return None;
        }
        let key = key_alone(jwk)?;
        let possible = possible_algorithms(&key.algorithm);
        let algorithms = match member(jwk, "alg") {
            None => possible.to_vec(),
            Some(named) => {
                let named: Algorithm = named.as_str()?.parse().ok()?;
                possible.iter().copied().filter(|algorithm| *algorithm == named).collect()
            }
        };
        if algorithms.is_empty() {
            return None;
        }
        let id = member(jwk, "kid").and_then(lenient_text).filter(|id| !id.is_empty());
        let key = DecodingKey::from_jwk(&key).ok()?;
        Some(Self { id: id.map(Cow::into_owned), algorithms, key })
    }
}

/// By `use` and `key_ops` (RFC 7517, sections 4.2 and 4.3), where the key has them.
fn is_for_verifying(jwk: &Value) -> bool {
    let operations = member(jwk, "key_ops").map(lenient_texts);
    member(jwk, "use").is_none_or(|purpose| purpose == "sig")
        && operations.is_none_or(|listed| listed.iter().any(|operation| operation == "verify"))
}

/// The key itself. All else that describes it, such as certificates, may look odd and is left out.
fn key_alone(jwk: &Value) -> Option<Jwk> {
    let mut key = Map::new();
    for name in ["kty", "crv"] {
        key.extend(member(jwk, name).map(|value| (name.to_owned(), value.clone())));
    }
    for name in ["x", "y", "n", "e"] {
        let Some(encoded) = member(jwk, name) else { continue };
        let bytes = lenient_base64(encoded.as_str()?).ok()?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        // Some libraries put a zero before a large number (RFC 7518, section 6.3.1.1). The
        // coordinates of a point have a fixed length.
        let bytes = if matches!(name, "n" | "e") { &bytes[zeros..] } else { &bytes[..] };
        key.insert(name.to_owned(), BASE64_URL_SAFE_NO_PAD.encode(bytes).into());
    }
    serde_json::from_value(Value::Object(key)).ok()
}

/// `null` counts as absent.
fn member<'a>(jwk: &'a Value, name: &str) -> Option<&'a Value> {
    jwk.get(name).filter(|value| !value.is_null())
}

/// The asymmetric algorithms of this key type and curve. Deliberately none for a symmetric key:
/// everybody who reads a public document could sign with it.
fn possible_algorithms(key: &AlgorithmParameters) -> &'static [Algorithm] {
    const RSA: &[Algorithm] = &[
        Algorithm::RS256,
        Algorithm::RS384,
        Algorithm::RS512,
        Algorithm::PS256,
        Algorithm::PS384,
        Algorithm::PS512,
    ];
    match key {
        AlgorithmParameters::RSA(_) => RSA,
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => &[Algorithm::ES256],
            EllipticCurve::P384 => &[Algorithm::ES384],
            _ => &[],
        },
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            &[Algorithm::EdDSA]
        }
        _ => &[],
    }
}

#[cfg(test)]
mod tests;
