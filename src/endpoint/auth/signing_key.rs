//! [`SigningKey`]: a private key that signs JWTs (RFC 7515), and the header that says which key it
//! was.
//!
//! | algorithm | key | PEM | JWK (RFC 7517) |
//! |---|---|---|---|
//! | RS256 to RS512, PS256 to PS512 | RSA, 2048 to 8192 bits | PKCS#8, PKCS#1 | `kty` `RSA`, with its primes |
//! | ES256, ES384 | EC, P-256 or P-384 | PKCS#8, SEC 1 | `kty` `EC` |
//! | EdDSA | Ed25519 | PKCS#8 | `kty` `OKP` |
//!
//! Deliberately not by jsonwebtoken: it would parse and check the key again for each signature, and
//! it reads neither SEC 1 nor a private JWK. aws-lc-rs signs for it as well.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest},
    rand::SystemRandom,
    signature::{
        EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
        RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
    },
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Serialize;
use serde_json::Value;

use crate::ConfigError;

mod jwk;
mod pem;

/// How a [`SigningKey`] signs (RFC 7518, section 3.1; RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SigningAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256: what every provider accepts.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256, as FAPI 2.0 and Entra want it.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// ECDSA with P-384 and SHA-384.
    Es384,
    /// EdDSA with Ed25519.
    EdDsa,
}

impl SigningAlgorithm {
    /// The `alg` of the JWT's header.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The kind of key that signs so, for an error.
    fn key(self) -> &'static str {
        match self {
            Self::Rs256 | Self::Rs384 | Self::Rs512 | Self::Ps256 | Self::Ps384 | Self::Ps512 => {
                "an RSA key of 2048 to 8192 bits"
            }
            Self::Es256 => "an EC key of the curve P-256",
            Self::Es384 => "an EC key of the curve P-384",
            Self::EdDsa => "an Ed25519 key",
        }
    }

    fn rsa(self) -> Option<&'static dyn RsaEncoding> {
        match self {
            Self::Rs256 => Some(&RSA_PKCS1_SHA256),
            Self::Rs384 => Some(&RSA_PKCS1_SHA384),
            Self::Rs512 => Some(&RSA_PKCS1_SHA512),
            Self::Ps256 => Some(&RSA_PSS_SHA256),
            Self::Ps384 => Some(&RSA_PSS_SHA384),
            Self::Ps512 => Some(&RSA_PSS_SHA512),
            Self::Es256 | Self::Es384 | Self::EdDsa => None,
        }
    }
}

/// A private key that signs JWTs. Cheap to clone.
///
/// ```
/// use tower_token_refresh::{SigningAlgorithm, SigningKey};
///
/// # fn main() -> Result<(), tower_token_refresh::ConfigError> {
/// // The example of RFC 7515, appendix A.3. Everybody knows it.
/// let jwk = r#"{
///     "kty": "EC",
///     "crv": "P-256",
///     "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
///     "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
///     "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"
/// }"#;
/// let key = SigningKey::from_jwk(jwk, SigningAlgorithm::Es256)?.key_id("2026-01");
/// # let _ = key; Ok(()) }
/// ```
///
/// The key is parsed and checked once. Neither `Debug` nor an error shows any part of it.
#[derive(Clone)]
pub struct SigningKey {
    pair: Arc<Pair>,
    algorithm: SigningAlgorithm,
    key_id: Option<String>,
    certificate: Option<Thumbprints>,
}

/// A key that fits its algorithm.
enum Pair {
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
    Ec(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// The certificate of the key, as the header names it (RFC 7515, sections 4.1.7 and 4.1.8).
#[derive(Clone)]
struct Thumbprints {
    sha256: String,
    sha1: Option<String>,
    der: Arc<[u8]>,
}

/// A claim cannot be written as JSON, or the machine has no randomness.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the JWT could not be signed")]
pub(crate) struct SigningError;

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
    #[serde(rename = "x5t#S256", skip_serializing_if = "Option::is_none")]
    x5t_s256: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x5t: Option<&'a str>,
}

impl SigningKey {
    /// Reads the private key of a PEM text (RFC 7468): `PRIVATE KEY` (PKCS#8), `RSA PRIVATE KEY`
    /// (PKCS#1) or `EC PRIVATE KEY` (SEC 1). It must not be encrypted.
    ///
    /// If the text also has the certificate of the key, each JWT names it by `x5t#S256`, as Entra
    /// wants it. Of several certificates, the first one must be that of the key.
    ///
    /// # Errors
    /// There is no private key, more than one, or one that does not fit `algorithm`; or the
    /// certificate is of another key.
    pub fn from_pem(
        pem: impl AsRef<[u8]>,
        algorithm: SigningAlgorithm,
    ) -> Result<Self, ConfigError> {
        let pem::Sections { pair, certificate } =
            pem::parse(pem.as_ref(), algorithm).map_err(broken)?;
        let key = Self::new(pair, algorithm, None);
        match certificate {
            Some(der) if !key.is_certified_by(&der) => {
                Err(broken("its first certificate is of another key".into()))
            }
            Some(der) => Ok(Self { certificate: Some(Thumbprints::of(der)), ..key }),
            None => Ok(key),
        }
    }

    /// Reads a private JWK (RFC 7517; RFC 7518, section 6; RFC 8037). Its `kid` becomes the key id.
    ///
    /// # Errors
    /// It is not a private JWK, its `alg` is another one, or the key does not fit `algorithm`.
    pub fn from_jwk(
        jwk: impl AsRef<[u8]>,
        algorithm: SigningAlgorithm,
    ) -> Result<Self, ConfigError> {
        let (pair, key_id) = jwk::parse(jwk.as_ref(), algorithm).map_err(broken)?;
        Ok(Self::new(pair, algorithm, key_id))
    }

    /// Sets the `kid` of each JWT (RFC 7515, section 4.1.4): under which name the provider knows the
    /// public key. Without it, a provider that knows several keys may refuse.
    #[must_use]
    pub fn key_id(mut self, key_id: impl Into<String>) -> Self {
        self.key_id = Some(key_id.into());
        self
    }

    /// The public half as a JWK (RFC 7517), to register at the provider: with `alg`, `use` and, if
    /// the key has a [key id](Self::key_id), `kid`. A provider that fetches keys wants it in the
    /// list `keys` of an object (section 5).
    #[must_use]
    pub fn public_jwk(&self) -> Value {
        let mut jwk = jwk::public(&self.pair);
        jwk["alg"] = self.algorithm.name().into();
        jwk["use"] = "sig".into();
        if let Some(key_id) = &self.key_id {
            jwk["kid"] = key_id.as_str().into();
        }
        jwk
    }

    /// Also names the certificate by `x5t`, its SHA-1 (RFC 7515, section 4.1.7), for a provider that
    /// does not know `x5t#S256`, such as AD FS. A key without a certificate ignores it.
    #[must_use]
    pub fn also_by_sha1(mut self) -> Self {
        if let Some(certificate) = &mut self.certificate {
            let sha1 = digest(&SHA1_FOR_LEGACY_USE_ONLY, &certificate.der);
            certificate.sha1 = Some(BASE64_URL_SAFE_NO_PAD.encode(sha1));
        }
        self
    }

    fn new(pair: Pair, algorithm: SigningAlgorithm, key_id: Option<String>) -> Self {
        Self { pair: Arc::new(pair), algorithm, key_id, certificate: None }
    }

    /// Signs `claims` as a compact JWT (RFC 7519).
    pub(crate) fn sign(&self, claims: &impl Serialize) -> Result<String, SigningError> {
        let certificate = self.certificate.as_ref();
        let header = Header {
            alg: self.algorithm.name(),
            typ: "JWT",
            kid: self.key_id.as_deref(),
            x5t_s256: certificate.map(|certificate| certificate.sha256.as_str()),
            x5t: certificate.and_then(|certificate| certificate.sha1.as_deref()),
        };
        let mut jwt = unsigned(&header, claims)?;
        let signature = self.pair.sign(jwt.as_bytes())?;
        jwt.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(signature, &mut jwt);
        Ok(jwt)
    }

    /// Whether the certificate holds the public key. It has it in one piece, as this key writes it.
    fn is_certified_by(&self, certificate: &[u8]) -> bool {
        let own = match &*self.pair {
            Pair::Rsa(pair, _) => pair.public_key().as_ref(),
            Pair::Ec(pair) => pair.public_key().as_ref(),
            Pair::Ed25519(pair) => pair.public_key().as_ref(),
        };
        certificate.windows(own.len()).any(|part| part == own)
    }
}

impl Pair {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &random, message, &mut signature).map_err(|_| SigningError)?;
                Ok(signature)
            }
            Self::Ec(pair) => {
                Ok(pair.sign(&random, message).map_err(|_| SigningError)?.as_ref().to_vec())
            }
            Self::Ed25519(pair) => {
                Ok(pair.try_sign(message).map_err(|_| SigningError)?.as_ref().to_vec())
            }
        }
    }
}

impl Thumbprints {
    fn of(der: Vec<u8>) -> Self {
        let sha256 = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, &der));
        Self { sha256, sha1: None, der: der.into() }
    }
}

/// Header and claims of a JWT, without the signature.
fn unsigned(header: &Header<'_>, claims: &impl Serialize) -> Result<String, SigningError> {
    let mut jwt = String::new();
    let header = serde_json::to_vec(header).map_err(|_| SigningError)?;
    BASE64_URL_SAFE_NO_PAD.encode_string(header, &mut jwt);
    jwt.push('.');
    let claims = serde_json::to_vec(claims).map_err(|_| SigningError)?;
    BASE64_URL_SAFE_NO_PAD.encode_string(claims, &mut jwt);
    Ok(jwt)
}

fn broken(rule: String) -> ConfigError {
    ConfigError::Credential { what: "the signing key".into(), rule }
}

fn wrong_kind(algorithm: SigningAlgorithm) -> String {
    format!("{} needs {}", algorithm.name(), algorithm.key())
}

/// Shows the names of the key, never the key.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("algorithm", &self.algorithm.name())
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
