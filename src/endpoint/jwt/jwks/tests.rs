use base64::prelude::BASE64_STANDARD;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::endpoint::test_support::signing::Signer;

fn set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

fn has(keys: &KeySet, id: &str, algorithm: Algorithm) -> bool {
    keys.named(id, algorithm).next().is_some()
}

#[test]
fn a_key_is_found_by_its_id_and_what_it_can_sign_with() {
    let keys = set(&[Signer::p256().jwk("a"), Signer::p384().jwk("b"), Signer::ed25519().jwk("c")]);
    for (id, algorithm) in
        [("a", Algorithm::ES256), ("b", Algorithm::ES384), ("c", Algorithm::EdDSA)]
    {
        assert!(has(&keys, id, algorithm));
        for other in [Algorithm::RS256, Algorithm::PS512, Algorithm::HS256] {
            assert!(!has(&keys, id, other));
        }
    }
    assert!(!has(&keys, "a", Algorithm::ES384));
    assert!(!has(&keys, "d", Algorithm::ES256));
}

#[test]
fn the_alg_that_a_key_names_is_its_only_one() {
    let mut key = Signer::rsa().jwk("a");
    assert!(has(&set(&[key.clone()]), "a", Algorithm::RS512));
    key["alg"] = json!("PS256");
    let keys = set(&[key]);
    assert!(has(&keys, "a", Algorithm::PS256));
    assert!(!has(&keys, "a", Algorithm::RS256));
}

#[test]
fn keys_are_found_by_name_without_one_and_all_at_once() {
    let keys = set(&[
        Signer::p256().jwk("a"),
        Signer::p256().jwk("a"),
        Signer::p384().jwk("a"),
        Signer::p256().jwk(""),
        Signer::p256().jwk("b"),
    ]);
    let by = Algorithm::ES256;
    assert_eq!(keys.named("a", by).count(), 2);
    assert_eq!(keys.named("", by).count(), 0, "an empty name is none");
    assert_eq!(keys.nameless(by).count(), 1);
    assert_eq!(keys.all(by).count(), 4);
    assert_eq!(keys.all(Algorithm::ES384).count(), 1);
}

/// What only describes a key may look odd. The key is read all the same.
#[test]
fn odd_members_cost_no_key() {
    for (name, value, id) in [
        ("x5c", json!("MIIB"), Some("a")),
        ("x5c", json!(null), Some("a")),
        ("x5t", json!(7), Some("a")),
        ("x5u", json!({}), Some("a")),
        ("x5t#S256", json!([]), Some("a")),
        ("exp", json!("soon"), Some("a")),
        ("alg", json!(null), Some("a")),
        ("use", json!(null), Some("a")),
        ("key_ops", json!(null), Some("a")),
        ("key_ops", json!("verify"), Some("a")),
        ("key_ops", json!(["verify", 7, "other"]), Some("a")),
        ("kid", json!(7), Some("7")),
        ("kid", json!(""), None),
        ("kid", json!(null), None),
        ("kid", json!(["a"]), None),
    ] {
        let mut odd = Signer::p256().jwk("a");
        odd[name] = value;
        let keys = set(std::slice::from_ref(&odd));
        let ids: Vec<_> = keys.0.iter().map(|key| key.id.as_deref()).collect();
        assert_eq!(ids, [id], "{odd}");
    }
}

#[test]
fn the_numbers_of_a_key_are_read_in_either_alphabet_with_padding_and_a_zero_in_front() {
    let signer = Signer::rsa();
    let token = signer.signature_of("RS256", "signed");
    let jwk = signer.jwk("a");
    let modulus = BASE64_URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap();
    let with_zero = [&[0], &modulus[..]].concat();
    for n in [
        BASE64_URL_SAFE_NO_PAD.encode(&modulus),
        BASE64_STANDARD.encode(&modulus),
        BASE64_STANDARD.encode(&with_zero),
        BASE64_URL_SAFE_NO_PAD.encode(&with_zero),
    ] {
        let mut jwk = jwk.clone();
        jwk["n"] = json!(n);
        let keys = set(&[jwk]);
        let key = keys.named("a", Algorithm::RS256).next().expect("read");
        let verifier = (DEFAULT_PROVIDER.verifier_factory)(&Algorithm::RS256, key).unwrap();
        assert!(verifier.verify(b"signed", &token).is_ok());
    }
}

#[test]
fn keys_of_no_use_are_left_out_and_spoil_nothing() {
    let good = Signer::p256().jwk("a");
    let with = |name: &str, value: Value| {
        let mut key = good.clone();
        key[name] = value;
        key
    };
    let keys = set(&[
        json!(null),
        json!(7),
        json!([]),
        json!({}),
        json!({"kty": "EC", "kid": "a"}),
        json!({"kty": "oct", "k": "c2VjcmV0", "kid": "a", "alg": "HS256"}),
        json!({"kty": "quantum", "kid": "a"}),
        with("use", json!("enc")),
        with("key_ops", json!(["encrypt"])),
        with("alg", json!("RS256")),
        with("alg", json!("RSA-OAEP")),
        with("alg", json!("none")),
        with("alg", json!(7)),
        with("crv", json!("P-521")),
        with("x", json!("not base64url!")),
        good.clone(),
    ]);
    assert_eq!(keys.0.len(), 1);
    assert!(has(&keys, "a", Algorithm::ES256));
}

#[test]
fn a_set_without_end_is_cut_off() {
    let key = Signer::p256().jwk("a");
    assert_eq!(set(&vec![key; 200]).0.len(), MOST_KEYS);
}

#[test]
fn a_set_nested_without_end_is_refused() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let body = format!("{{\"keys\":[{}1{}]}}", open.repeat(40_000), close.repeat(40_000));
        assert!(KeySet::parse(body.as_bytes()).is_err());
    }
}

#[test]
fn what_is_no_key_set_is_refused_without_quoting_it() {
    for body in [
        "",
        "null",
        "[]",
        "{}",
        r#"{"keys":{}}"#,
        r#"{"keys":"hunter2hunter2"}"#,
        "<html>hunter2hunter2",
    ] {
        let Err(error) = KeySet::parse(body.as_bytes()) else { panic!("{body} was taken") };
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(body: Vec<u8>) {
        let _ = KeySet::parse(&body);
    }

    #[test]
    fn no_odd_key_makes_it_panic_or_spoils_the_good_one(
        name in "kty|kid|use|alg|crv|x|y|n|e|k|key_ops|x5c|x5t",
        value in prop_oneof![
            "\\PC{0,40}".prop_map(Value::from),
            "RSA|EC|OKP|oct|sig|enc|ES256|P-256|AQAB".prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            Just(json!(null)),
            Just(json!(["verify"])),
            Just(json!({"a": [1]})),
        ],
        kind in 0..3_usize,
    ) {
        let good = Signer::p256().jwk("good");
        let mut odd = [Signer::p256().jwk("odd"), Signer::ed25519().jwk("odd"), json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"})]
            [kind].clone();
        odd[name.as_str()] = value;
        let keys = set(&[odd, good]);
        prop_assert!(has(&keys, "good", Algorithm::ES256));
        let symmetric = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
        let listed = keys.0.iter().flat_map(|key| &key.algorithms).any(|algorithm| symmetric.contains(algorithm));
        prop_assert!(!listed);
    }
}
