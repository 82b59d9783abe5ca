//! [`DpopKey`]: a private key that tokens are bound to.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{Method, Uri};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::DpopProof;

/// A private key that the tokens of one login are bound to (DPoP; RFC 9449): a stolen token is worth
/// nothing without it. ES256, which every provider with DPoP knows. Cheap to clone.
///
/// Make one for each login, send a [`proof`](Self::proof) with the request that exchanges the code,
/// and give the key to [`TokenSet::with_dpop_key`](crate::TokenSet::with_dpop_key). From then on this
/// crate stores it with the tokens, and proves it with each refresh and each call of a
/// [`BearerLayer`](crate::BearerLayer).
///
/// ```
/// use http::{Method, Uri};
/// use tower_token_refresh::DpopKey;
///
/// let key = DpopKey::generate();
/// let token_endpoint = Uri::from_static("https://id.example/token");
/// let proof = key.proof(&Method::POST, &token_endpoint).header(); // for the header `DPoP`
/// # let _ = proof;
/// ```
///
/// `Debug` does not show the key.
#[derive(Clone)]
pub struct DpopKey(Arc<Inner>);

struct Inner {
    pair: EcdsaKeyPair,
    /// The header of each proof, in base64url. It names the public key.
    proof_header: String,
    thumbprint: String,
    /// PKCS#8, in base64url.
    secret: SecretString,
}

/// Text that is no key of this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotAKey;

impl DpopKey {
    /// About how many bytes a key takes, with what the library keeps beside it: measured.
    pub(crate) const WEIGHT: usize = 1200;

    /// Makes a new key.
    ///
    /// # Panics
    /// If the operating system gives no random bytes.
    #[must_use]
    pub fn generate() -> Self {
        let made =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let pkcs8 = made.expect("the operating system gives random bytes");
        Self::from_pkcs8(pkcs8.as_ref()).expect("a new key is well-formed")
    }

    /// The text that [`from_secret_text`](Self::from_secret_text) reads. It goes into the token
    /// record and nowhere else.
    pub(crate) fn to_secret_text(&self) -> &str {
        self.0.secret.expose_secret()
    }

    pub(crate) fn from_secret_text(text: &str) -> Result<Self, NotAKey> {
        let pkcs8 = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| NotAKey)?;
        Self::from_pkcs8(&pkcs8)
    }

    fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, NotAKey> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
            .map_err(|_| NotAKey)?;
        // An uncompressed point (SEC 1, 2.3.3): one byte that says so, and two coordinates.
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let (x, y) = (BASE64_URL_SAFE_NO_PAD.encode(x), BASE64_URL_SAFE_NO_PAD.encode(y));
        // In this order and without spaces, as RFC 7638, section 3 hashes it. serde_json sorts.
        let jwk = json!({ "crv": "P-256", "kty": "EC", "x": x, "y": y });
        let thumbprint = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, jwk.to_string().as_bytes()));
        let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk });
        let proof_header = BASE64_URL_SAFE_NO_PAD.encode(header.to_string());
        let secret = BASE64_URL_SAFE_NO_PAD.encode(pkcs8).into();
        Ok(Self(Arc::new(Inner { pair, proof_header, thumbprint, secret })))
    }

    /// The SHA-256 thumbprint of the public key, in base64url (RFC 7638): the `jkt` of tokens that
    /// are bound to it, and the value of `dpop_jkt` in an authorization request (RFC 9449, section
    /// 10).
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        &self.0.thumbprint
    }

    /// Begins a proof for one request. The query of `uri` plays no part.
    pub fn proof(&self, method: &Method, uri: &Uri) -> DpopProof {
        DpopProof::new(self.clone(), method, uri)
    }

    /// Signs `claims` as a compact JWT.
    pub(super) fn sign(&self, claims: &impl serde::Serialize) -> String {
        let mut jwt = self.0.proof_header.clone();
        jwt.push('.');
        let claims = serde_json::to_vec(claims).expect("texts and numbers make JSON");
        BASE64_URL_SAFE_NO_PAD.encode_string(claims, &mut jwt);
        let signed = self.0.pair.sign(&SystemRandom::new(), jwt.as_bytes());
        let signature = signed.expect("the operating system gives random bytes");
        jwt.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut jwt);
        jwt
    }
}

impl fmt::Debug for DpopKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DpopKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_from_its_text_and_from_nothing_else() {
        let key = DpopKey::generate();
        let again = DpopKey::from_secret_text(key.to_secret_text()).expect("its own text");
        assert_eq!(again.thumbprint(), key.thumbprint());
        let text = key.to_secret_text();
        for other in ["", "abc", "%%", &text[1..], &text[..text.len() - 8]] {
            assert_eq!(DpopKey::from_secret_text(other).map(drop), Err(NotAKey), "{other:.4}");
        }
        assert_ne!(DpopKey::generate().thumbprint(), key.thumbprint());
    }

    #[test]
    fn nothing_of_the_key_is_printed() {
        assert_eq!(format!("{:?}", DpopKey::generate()), "DpopKey");
    }

    #[test]
    fn the_thumbprint_is_the_hash_of_the_four_members_in_their_order() {
        let key = DpopKey::generate();
        let header = BASE64_URL_SAFE_NO_PAD.decode(&key.0.proof_header).expect("base64url");
        let header: serde_json::Value = serde_json::from_slice(&header).expect("JSON");
        let (x, y) =
            (header["jwk"]["x"].as_str().expect("x"), header["jwk"]["y"].as_str().expect("y"));
        let hashed = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let wanted = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, hashed.as_bytes()));
        assert_eq!(key.thumbprint(), wanted);
        assert_eq!(header["jwk"].as_object().map(serde_json::Map::len), Some(4), "no private part");
    }
}
