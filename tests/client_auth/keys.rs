//! Key pairs: the private half as PEM, the public one as a JWK.
#![allow(dead_code, reason = "each test uses its own part")]

use aws_lc_rs::{
    encoding::AsDer,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaKeyPair,
    },
};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use tower_token_refresh::{SigningAlgorithm, SigningKey};

pub struct Pair {
    pub pem: String,
    pub public: Value,
}

impl Pair {
    pub fn of(algorithm: SigningAlgorithm) -> Self {
        match algorithm {
            SigningAlgorithm::Es256 => Self::ec("P-256", &ECDSA_P256_SHA256_FIXED_SIGNING),
            SigningAlgorithm::Es384 => Self::ec("P-384", &ECDSA_P384_SHA384_FIXED_SIGNING),
            SigningAlgorithm::EdDsa => Self::ed25519(),
            _ => Self::rsa(),
        }
    }

    pub fn key(&self, algorithm: SigningAlgorithm) -> SigningKey {
        SigningKey::from_pem(&self.pem, algorithm).expect("the key fits")
    }

    pub fn rsa() -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der>::as_der(&pair).unwrap();
        let (n, e) = (pair.public_key().modulus(), pair.public_key().exponent());
        let public = json!({
            "kty": "RSA",
            "n": encoded(n.big_endian_without_leading_zero()),
            "e": encoded(e.big_endian_without_leading_zero()),
        });
        Self { pem: pem(der.as_ref()), public }
    }

    pub fn ed25519() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let x = encoded(pair.public_key().as_ref());
        Self {
            pem: pem(pair.to_pkcs8().unwrap().as_ref()),
            public: json!({ "kty": "OKP", "crv": "Ed25519", "x": x }),
        }
    }

    fn ec(curve: &str, algorithm: &'static EcdsaSigningAlgorithm) -> Self {
        let pair = EcdsaKeyPair::generate(algorithm).unwrap();
        let point = &pair.public_key().as_ref()[1..];
        let (x, y) = point.split_at(point.len() / 2);
        Self {
            pem: pem(pair.to_pkcs8v1().unwrap().as_ref()),
            public: json!({ "kty": "EC", "crv": curve, "x": encoded(x), "y": encoded(y) }),
        }
    }
}

fn encoded(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn pem(der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
}
