//! [`KeySet`]: the provider's public keys (RFC 7517) that can verify a token.

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

/// The most keys to keep of a set. Providers publish two or three.
const MOST_KEYS: usize = 100;

/// The keys that may have signed a token. Parsing skips all other keys, such as encryption keys,
/// symmetric keys and unknown types, without an error.
pub(crate) struct KeySet(Vec<Key>);

struct Key {
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
        Ok(Self(document.keys.into_iter().filter_map(Key::of).take(MOST_KEYS).collect()))
    }

    /// The key with this id that signs with `algorithm`. Without an id, only one key may fit
    /// (OpenID Connect Core, section 10.1).
    pub(crate) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&DecodingKey> {
        let named = |key: &&Key| id.is_none() || key.id.as_deref() == id;
        let mut fitting =
            self.0.iter().filter(named).filter(|key| key.algorithms.contains(&algorithm));
        let found = fitting.next()?;
        (id.is_some() || fitting.next().is_none()).then_some(&found.key)
    }
}

impl Key {
    fn of(jwk: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(jwk).ok()?;
        let common = &jwk.common;
        if !matches!(common.public_key_use, None | Some(PublicKeyUse::Signature)) {
            return None;
        }
        if common.key_operations.as_ref().is_some_and(|uses| !uses.contains(&KeyOperations::Verify))
        {
            return None;
        }
        let possible = possible_algorithms(&jwk.algorithm);
        let algorithms = match common.key_algorithm {
            None => possible.to_vec(),
            Some(named) => {
                let named = Algorithm::try_from(named).ok()?;
                possible.iter().copied().filter(|algorithm| *algorithm == named).collect()
            }
        };
        if algorithms.is_empty() {
            return None;
        }
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        Some(Self { id: jwk.common.key_id, algorithms, key })
    }
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
