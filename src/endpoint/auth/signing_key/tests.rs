use aws_lc_rs::{encoding::AsDer, rsa::KeySize, signature::ECDSA_P384_SHA384_FIXED_SIGNING};
use base64::prelude::BASE64_STANDARD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::Jwk};
use serde_json::{Value, json};

use super::{
    SigningAlgorithm::{EdDsa, Es256, Es384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512},
    *,
};

/// RFC 7515, appendix A.3.
const EC_JWK: &str = r#"{"kty":"EC","crv":"P-256",
"x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
"d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#;
/// RFC 8037, appendix A.1.
const ED_JWK: &str = r#"{"kty":"OKP","crv":"Ed25519",
"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

/// A key of OpenSSL, and the certificate that it made for it.
const KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgtZPfKnOZpnceJkkj
NcnR/kG/MXoMvclVleolDAxk1fKhRANCAATviFjvp0Z4rZCjuNeSD0IGK6O8aTMn
ED9zxjBHqvEzMbv+qqs/pH7iKsg5g2Q/W7a6O0VXotEXJgsbuA332x8q
-----END PRIVATE KEY-----
";
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----
MIIBczCCARmgAwIBAgIUHBMXvdJtNWeB8GKxJzsv3V9A8t4wCgYIKoZIzj0EAwIw
DjEMMAoGA1UEAwwDYXBwMCAXDTI2MTEyNjIxNDcyNFoYDzIxMjYxMTAyMjE0NzI0
WjAOMQwwCgYDVQQDDANhcHAwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATviFjv
p0Z4rZCjuNeSD0IGK6O8aTMnED9zxjBHqvEzMbv+qqs/pH7iKsg5g2Q/W7a6O0VX
otEXJgsbuA332x8qo1MwUTAdBgNVHQ4EFgQUg7l/SmthK6kkoOiFCs6AFXUiKYAw
HwYDVR0jBBgwFoAUg7l/SmthK6kkoOiFCs6AFXUiKYAwDwYDVR0TAQH/BAUwAwEB
/zAKBggqhkjOPQQDAgNIADBFAiBrYTADugeP7RETrANB34lZbONLk09e3HD6hEq3
pKnc5gIhAOtM06JBfkbWKhbMe22sKlKLYxCeBwo5TNlNoXoOmxPB
-----END CERTIFICATE-----
";

fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn rsa_pkcs8() -> Vec<u8> {
    RsaKeyPair::generate(KeySize::Rsa2048).unwrap().as_der().unwrap().as_ref().to_vec()
}

/// An RSA key as a JWK: the numbers of a PKCS#1 key, each of which has a tag and a length before it.
fn rsa_jwk() -> String {
    let pkcs8 = rsa_pkcs8();
    let mut rest = &pkcs8[26 + 4..];
    let mut number = || {
        let (start, length) = match rest[1] {
            0x81 => (3, usize::from(rest[2])),
            0x82 => (4, usize::from(rest[2]) << 8 | usize::from(rest[3])),
            short => (2, usize::from(short)),
        };
        let digits = &rest[start..start + length];
        rest = &rest[start + length..];
        BASE64_URL_SAFE_NO_PAD.encode(digits.strip_prefix(&[0]).unwrap_or(digits))
    };
    number();
    let mut jwk = json!({ "kty": "RSA", "kid": "a2" });
    for name in ["n", "e", "d", "p", "q", "dp", "dq", "qi"] {
        jwk[name] = json!(number());
    }
    jwk.to_string()
}

/// The claims of a JWT that verifies with the public half of the key.
fn verified(jwt: &str, public: Value, algorithm: Algorithm) -> Value {
    let key: Jwk = serde_json::from_value(public).unwrap();
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    decode(jwt, &DecodingKey::from_jwk(&key).unwrap(), &validation).unwrap().claims
}

fn assert_signs(key: &SigningKey) {
    let jwt = key.sign(&json!({ "sub": "app" })).unwrap();
    let algorithm = key.algorithm.name().parse().unwrap();
    assert_eq!(verified(&jwt, key.public_jwk(), algorithm)["sub"], "app", "{key:?}");
    assert_eq!(decode_header(&jwt).unwrap().alg, algorithm);
    let jwk = key.public_jwk();
    assert!(["d", "p", "q", "dp", "dq", "qi"].iter().all(|private| jwk.get(private).is_none()));
    assert_eq!(jwk.get("kid").and_then(Value::as_str), key.key_id.as_deref());
}

fn refusal(made: Result<SigningKey, ConfigError>) -> String {
    made.unwrap_err().to_string()
}

#[test]
fn every_algorithm_signs_with_a_key_in_every_format() {
    let (rsa, rsa_jwk) = (rsa_pkcs8(), rsa_jwk());
    // PKCS#8 puts 26 bytes before a PKCS#1 key of this size.
    let rsa_pems = [pem("PRIVATE KEY", &rsa), pem("RSA PRIVATE KEY", &rsa[26..])];
    for algorithm in [Rs256, Rs384, Rs512, Ps256, Ps384, Ps512] {
        for pem in &rsa_pems {
            assert_signs(&SigningKey::from_pem(pem, algorithm).unwrap());
        }
        assert_signs(&SigningKey::from_jwk(&rsa_jwk, algorithm).unwrap());
    }
    for (algorithm, curve) in [
        (Es256, &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING),
        (Es384, &ECDSA_P384_SHA384_FIXED_SIGNING),
    ] {
        let pair = EcdsaKeyPair::generate(curve).unwrap();
        let pkcs8 = pair.to_pkcs8v1().unwrap();
        assert_signs(&SigningKey::from_pem(pem("PRIVATE KEY", pkcs8.as_ref()), algorithm).unwrap());
        let sec1 = pair.private_key().as_der().unwrap();
        assert_signs(
            &SigningKey::from_pem(pem("EC PRIVATE KEY", sec1.as_ref()), algorithm).unwrap(),
        );
    }
    assert_signs(&SigningKey::from_jwk(EC_JWK, Es256).unwrap());
    let pair = Ed25519KeyPair::generate().unwrap();
    // With and without the public key, as others and as OpenSSL write it.
    for der in [pair.to_pkcs8().unwrap(), pair.to_pkcs8v1().unwrap()] {
        assert_signs(&SigningKey::from_pem(pem("PRIVATE KEY", der.as_ref()), EdDsa).unwrap());
    }
    assert_signs(&SigningKey::from_jwk(ED_JWK, EdDsa).unwrap());
}

#[test]
fn the_header_names_the_key_and_its_certificate() {
    let header = |key: &SigningKey| {
        let jwt = key.sign(&json!({})).unwrap();
        let header = jwt.split('.').next().unwrap();
        serde_json::from_slice::<Value>(&BASE64_URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap()
    };
    let plain = SigningKey::from_pem(KEY, Es256).unwrap();
    assert_eq!(header(&plain), json!({ "alg": "ES256", "typ": "JWT" }));
    assert_eq!(header(&plain.key_id("k1"))["kid"], "k1");
    assert_eq!(header(&SigningKey::from_jwk(rsa_jwk(), Ps256).unwrap())["kid"], "a2");

    // Before the key or after it, as `az` and as most others write them.
    for both in [format!("{KEY}{CERTIFICATE}"), format!("{CERTIFICATE}{KEY}")] {
        let key = SigningKey::from_pem(both, Es256).unwrap();
        assert_eq!(
            header(&key),
            json!({ "alg": "ES256", "typ": "JWT", "x5t#S256": "Lal0mWxehMkpYpfb93E51nLe3Ys5zt8AC1tg2pC4Jic" })
        );
        assert_eq!(header(&key.also_by_sha1())["x5t"], "w1khqLyfzQFvlHURsf7DufmVlIs");
    }
}

#[test]
fn a_certificate_of_another_key_is_refused() {
    let other = EcdsaKeyPair::generate(&aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING);
    let other = pem("PRIVATE KEY", other.unwrap().to_pkcs8v1().unwrap().as_ref());
    assert_eq!(
        refusal(SigningKey::from_pem(format!("{other}{CERTIFICATE}"), Es256)),
        "the signing key cannot be used: its first certificate is of another key"
    );
}

#[test]
fn a_key_that_does_not_fit_names_the_rule_and_nothing_of_the_key() {
    let rsa = pem("PRIVATE KEY", &rsa_pkcs8());
    let small = pem("RSA PRIVATE KEY", &[0x30, 0x03, 0x02, 0x01, 0x00]);
    let rsa_jwk = rsa_jwk();
    let without_prime = rsa_jwk.replace("\"p\"", "\"P\"");
    let mismatched = EC_JWK.replace("\"d\":\"j", "\"d\":\"k");
    let with_alg = EC_JWK.replacen('{', r#"{"alg":"ES384","#, 1);
    let public_jwk = EC_JWK.replace("\"d\"", "\"e\"");
    let key_set = format!(r#"{{"keys":[{EC_JWK}]}}"#);
    let cases = [
        (SigningKey::from_pem(&rsa, Es256), "ES256 needs an EC key of the curve P-256"),
        (SigningKey::from_pem(&rsa, EdDsa), "EdDSA needs an Ed25519 key"),
        (SigningKey::from_pem(KEY, Rs256), "RS256 needs an RSA key of 2048 to 8192 bits"),
        (SigningKey::from_pem(KEY, Es384), "ES384 needs an EC key of the curve P-384"),
        (SigningKey::from_pem(&small, Rs256), "RS256 needs an RSA key of 2048 to 8192 bits"),
        (SigningKey::from_pem("", Es256), "it is empty"),
        (SigningKey::from_pem(" \n", Es256), "it is empty"),
        (SigningKey::from_pem("hunter2", Es256), "there is no private key in PEM"),
        (SigningKey::from_pem(KEY.replace("-----END", "--"), Es256), "its PEM is broken"),
        (SigningKey::from_pem(format!("{KEY}{KEY}"), Es256), "there is more than one private key"),
        (SigningKey::from_pem(CERTIFICATE, Es256), "there is a certificate, but no private key"),
        (
            SigningKey::from_pem(pem("PUBLIC KEY", &[1]), Es256),
            "it is a public key, and a private one signs",
        ),
        (SigningKey::from_pem(pem("ENCRYPTED PRIVATE KEY", &[1]), Es256), "it is encrypted"),
        (SigningKey::from_jwk("", Es256), "it is empty"),
        (SigningKey::from_jwk("hunter2", Es256), "it is not a JWK"),
        (SigningKey::from_jwk(KEY, Es256), "it is not a JWK"),
        (SigningKey::from_jwk(key_set, Es256), "it is a set of keys, and one key signs"),
        (SigningKey::from_jwk(public_jwk, Es256), "it has no private part `d`"),
        (SigningKey::from_jwk(with_alg, Es256), "its `alg` is not ES256"),
        (SigningKey::from_jwk(EC_JWK, Es384), "ES384 needs an EC key of the curve P-384"),
        (SigningKey::from_jwk(EC_JWK, Rs256), "RS256 needs an RSA key of 2048 to 8192 bits"),
        (SigningKey::from_jwk(mismatched, Es256), "ES256 needs an EC key of the curve P-256"),
        (SigningKey::from_jwk(&rsa_jwk, EdDsa), "EdDSA needs an Ed25519 key"),
        (SigningKey::from_jwk(without_prime, Rs256), "it has no `p`"),
        (SigningKey::from_jwk(rsa_jwk.replace("AQAB", "?"), Rs256), "its `e` is not base64url"),
    ];
    for (made, rule) in cases {
        assert_eq!(refusal(made), format!("the signing key cannot be used: {rule}"));
    }
}

#[test]
fn debug_shows_the_names_of_the_key_alone() {
    let key = SigningKey::from_jwk(rsa_jwk(), Ps256).unwrap();
    assert_eq!(format!("{key:?}"), r#"SigningKey { algorithm: "PS256", key_id: Some("a2"), .. }"#);
}
