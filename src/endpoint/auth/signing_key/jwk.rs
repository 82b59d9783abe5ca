//! A private key from a JWK (RFC 7517), and its public half as one. What its members mean: RFC 7518,
//! section 6, and RFC 8037.

use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use secrecy::zeroize::Zeroizing;
use serde_json::{Map, Value, json};

use super::{Pair, SigningAlgorithm, pem::curve, wrong_kind};

/// The numbers of an RSA key, in the order of PKCS#1.
const RSA_MEMBERS: [&str; 8] = ["n", "e", "d", "p", "q", "dp", "dq", "qi"];

/// The key and its `kid`.
pub(super) fn parse(
    jwk: &[u8],
    algorithm: SigningAlgorithm,
) -> Result<(Pair, Option<String>), String> {
    if jwk.trim_ascii().is_empty() {
        return Err("it is empty".into());
    }
    // Deliberately without serde_json's error, which may quote the text.
    let jwk = serde_json::from_slice::<Map<String, Value>>(jwk).map_err(|_| "it is not a JWK")?;
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    if text("alg").is_some_and(|alg| alg != algorithm.name()) {
        return Err(format!("its `alg` is not {}", algorithm.name()));
    }
    if jwk.contains_key("keys") {
        return Err("it is a set of keys, and one key signs".into());
    }
    if text("d").is_none() {
        return Err("it has no private part `d`".into());
    }
    let pair = pair(&jwk, algorithm)?;
    Ok((pair, text("kid").map(str::to_owned)))
}

fn pair(jwk: &Map<String, Value>, algorithm: SigningAlgorithm) -> Result<Pair, String> {
    let member = |name: &str| {
        let text = jwk.get(name).and_then(Value::as_str).ok_or(format!("it has no `{name}`"))?;
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text);
        bytes.map(Zeroizing::new).map_err(|_| format!("its `{name}` is not base64url"))
    };
    let is = |name: &str, wanted: &str| jwk.get(name).is_some_and(|value| value == wanted);
    let wrong = || wrong_kind(algorithm);
    if let Some(encoding) = algorithm.rsa() {
        if !is("kty", "RSA") {
            return Err(wrong());
        }
        let mut numbers = Zeroizing::new(integer(&[0]));
        for name in RSA_MEMBERS {
            numbers.extend_from_slice(&Zeroizing::new(integer(&member(name)?)));
        }
        let der = Zeroizing::new(tagged(0x30, &numbers));
        let pair = RsaKeyPair::from_der(&der).map_err(|_| wrong())?;
        return Ok(Pair::Rsa(pair, encoding));
    }
    if let Some(curve) = curve(algorithm) {
        let name = if algorithm == SigningAlgorithm::Es256 { "P-256" } else { "P-384" };
        if !is("kty", "EC") || !is("crv", name) {
            return Err(wrong());
        }
        // An uncompressed point (SEC 1, 2.3.3).
        let point = [&[4][..], &member("x")?, &member("y")?].concat();
        let pair = EcdsaKeyPair::from_private_key_and_public_key(curve, &member("d")?, &point);
        return Ok(Pair::Ec(pair.map_err(|_| wrong())?));
    }
    if !is("kty", "OKP") || !is("crv", "Ed25519") {
        return Err(wrong());
    }
    let pair = Ed25519KeyPair::from_seed_and_public_key(&member("d")?, &member("x")?);
    Ok(Pair::Ed25519(pair.map_err(|_| wrong())?))
}

/// The public half.
pub(super) fn public(pair: &Pair) -> Value {
    let encoded = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    match pair {
        Pair::Rsa(pair, _) => {
            let (n, e) = (pair.public_key().modulus(), pair.public_key().exponent());
            let n = encoded(n.big_endian_without_leading_zero());
            json!({ "kty": "RSA", "n": n, "e": encoded(e.big_endian_without_leading_zero()) })
        }
        Pair::Ec(pair) => {
            // An uncompressed point: one byte that says so, and two coordinates.
            let point = &pair.public_key().as_ref()[1..];
            let (x, y) = point.split_at(point.len() / 2);
            let curve = if x.len() == 32 { "P-256" } else { "P-384" };
            json!({ "kty": "EC", "crv": curve, "x": encoded(x), "y": encoded(y) })
        }
        Pair::Ed25519(pair) => {
            json!({ "kty": "OKP", "crv": "Ed25519", "x": encoded(pair.public_key().as_ref()) })
        }
    }
}

/// A DER INTEGER that is not negative.
fn integer(big_endian: &[u8]) -> Vec<u8> {
    let start = big_endian.iter().position(|byte| *byte != 0).unwrap_or(big_endian.len());
    let digits = &big_endian[start..];
    let sign = if digits.first().is_none_or(|byte| *byte >= 0x80) { &[0][..] } else { &[] };
    tagged(0x02, &[sign, digits].concat())
}

/// A DER value: tag, length, content.
fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let bytes = length.to_be_bytes();
    let bytes = &bytes[bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len() - 1)..];
    let mut der = vec![tag];
    if length >= 0x80 {
        // A length takes at most 8 bytes.
        der.push(0x80 | bytes.len() as u8);
    }
    der.extend_from_slice(bytes);
    der.extend_from_slice(content);
    der
}
