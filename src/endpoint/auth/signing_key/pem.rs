//! A private key, and perhaps its certificate, from PEM (RFC 7468).

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, RsaKeyPair,
};
use rustls_pki_types::pem::{PemObject, SectionKind};
use secrecy::zeroize::Zeroizing;

use super::{Pair, SigningAlgorithm, wrong_kind};

pub(super) struct Sections {
    pub(super) pair: Pair,
    /// The first one, in DER.
    pub(super) certificate: Option<Vec<u8>>,
}

pub(super) fn parse(pem: &[u8], algorithm: SigningAlgorithm) -> Result<Sections, String> {
    let (mut keys, mut certificate, mut public) = (Vec::new(), None, false);
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
        // Deliberately without its error, which may quote a line.
        let (kind, der) = section.map_err(|_| "its PEM is broken")?;
        match kind {
            SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => {
                keys.push((kind, Zeroizing::new(der)));
            }
            SectionKind::Certificate => {
                certificate.get_or_insert(der);
            }
            SectionKind::PublicKey => public = true,
            _ => {}
        }
    }
    let (kind, der) = match &keys[..] {
        [(kind, der)] => (*kind, der),
        [] => return Err(missing(pem, public, certificate.is_some())),
        _ => return Err("there is more than one private key".into()),
    };
    let pair = pair(kind, der, algorithm).ok_or_else(|| wrong_kind(algorithm))?;
    Ok(Sections { pair, certificate })
}

/// Why there is no private key.
fn missing(pem: &[u8], public: bool, certificate: bool) -> String {
    let has = |mark: &str| pem.windows(mark.len()).any(|part| part == mark.as_bytes());
    if pem.trim_ascii().is_empty() {
        "it is empty"
    } else if has("ENCRYPTED PRIVATE KEY") {
        "it is encrypted"
    } else if public || has("RSA PUBLIC KEY") {
        "it is a public key, and a private one signs"
    } else if certificate {
        "there is a certificate, but no private key"
    } else {
        "there is no private key in PEM"
    }
    .into()
}

fn pair(kind: SectionKind, der: &[u8], algorithm: SigningAlgorithm) -> Option<Pair> {
    if let Some(encoding) = algorithm.rsa() {
        let pair = match kind {
            SectionKind::RsaPrivateKey => RsaKeyPair::from_der(der),
            _ => RsaKeyPair::from_pkcs8(der),
        };
        return Some(Pair::Rsa(pair.ok()?, encoding));
    }
    match curve(algorithm) {
        Some(curve) => Some(Pair::Ec(EcdsaKeyPair::from_private_key_der(curve, der).ok()?)),
        // "Unchecked" is a key without its public half, as OpenSSL writes it.
        None => Some(Pair::Ed25519(Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()?)),
    }
}

pub(super) fn curve(algorithm: SigningAlgorithm) -> Option<&'static EcdsaSigningAlgorithm> {
    match algorithm {
        SigningAlgorithm::Es256 => Some(&ECDSA_P256_SHA256_FIXED_SIGNING),
        SigningAlgorithm::Es384 => Some(&ECDSA_P384_SHA384_FIXED_SIGNING),
        _ => None,
    }
}
