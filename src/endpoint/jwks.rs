//! The provider's public keys (RFC 7517), as far as they are of use here.

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

/// Further keys of a set are left aside. Providers show two or three.
const MOST_KEYS: usize = 100;

/// The keys that may have signed a token. Everything else that a provider shows there, such as keys for encryption, symmetric ones and
/// kinds we do not know, is left out and spoils nothing.
pub(super) struct KeySet(Vec<Key>);

struct Key {
    id: Option<String>,
    /// What this key signs with: the one it names, else all that its type and curve can do.
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// Not a JSON object with a list of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotAKeySet {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl KeySet {
    pub(super) fn parse(body: &[u8]) -> Result<Self, NotAKeySet> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Value>,
        }
        // serde_json's own message would quote the document.
        let document: Document = serde_json::from_slice(body)
            .map_err(|error| NotAKeySet { line: error.line(), column: error.column() })?;
        Ok(Self(document.keys.into_iter().filter_map(Key::of).take(MOST_KEYS).collect()))
    }

    /// The key with this id that signs with `algorithm`. Without an id there must be but one that does (OpenID Connect Core, 10.1).
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&DecodingKey> {
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

/// The asymmetric algorithms a key of this type and curve can sign with. A symmetric key has no business in a public document: whoever
/// reads it could sign.
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
#[path = "tests/jwks.rs"]
mod tests;
