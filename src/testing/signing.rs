//! The key that signs the issuer's JWTs, and its successors.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{StrictIssuer, issuer::lock};

/// # Keys
impl StrictIssuer {
    /// From now on, tokens are signed with a new key, and `jwks_uri` shows only that. Earlier
    /// tokens no longer verify.
    pub fn rotate_keys(&self) {
        *lock(&self.inner.signing_key) = Arc::new(SigningKey::generate());
    }

    /// Makes a JWT with these claims, signed with the issuer's current key (ES256). The fields of
    /// `header` are added to the usual header or replace its fields. For tokens that no honest
    /// provider makes; the issuer itself does not know them.
    ///
    /// # Panics
    /// `header` is not a JSON object.
    #[must_use]
    pub fn sign_jwt(&self, header: Value, claims: &Value) -> String {
        self.signing_key().sign(header, claims)
    }

    pub(super) fn signing_key(&self) -> Arc<SigningKey> {
        lock(&self.inner.signing_key).clone()
    }
}

pub(super) struct SigningKey {
    pair: EcdsaKeyPair,
    kid: String,
    x: String,
    y: String,
}

impl SigningKey {
    /// The first key of all issuers in this process: making one costs more than a signature.
    pub(super) fn first() -> Arc<Self> {
        static KEY: OnceLock<Arc<SigningKey>> = OnceLock::new();
        KEY.get_or_init(|| Arc::new(Self::generate())).clone()
    }

    fn generate() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .expect("the machine has randomness for a test key");
        // An uncompressed point: 4, then 32 bytes of x and 32 of y.
        let point = pair.public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        let (x, y) = (BASE64_URL_SAFE_NO_PAD.encode(x), BASE64_URL_SAFE_NO_PAD.encode(y));
        let kid = x[..16].to_owned();
        Self { pair, kid, x, y }
    }

    /// The public key, as `jwks_uri` shows it.
    pub(super) fn jwks(&self) -> Value {
        json!({ "keys": [{
            "kid": self.kid, "kty": "EC", "alg": "ES256", "use": "sig", "crv": "P-256", "x": self.x, "y": self.y,
        }] })
    }

    pub(super) fn sign(&self, mut header: Value, claims: &Value) -> String {
        let usual = [("alg", "ES256"), ("typ", "JWT"), ("kid", &self.kid)];
        let fields = header.as_object_mut().expect("a header is a JSON object");
        for (name, value) in usual {
            fields.entry(name).or_insert_with(|| json!(value));
        }
        let signed = format!("{}.{}", segment(&header), segment(claims));
        let signature = self
            .pair
            .sign(&SystemRandom::new(), signed.as_bytes())
            .expect("a key made for ES256 signs with the machine's randomness");
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}

/// A part of a JWT.
pub(super) fn segment(json: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(json.to_string())
}
