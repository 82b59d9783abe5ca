use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::endpoint::test_support::signing::Signer;

fn set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

#[test]
fn a_key_is_found_by_its_id_and_what_it_can_sign_with() {
    let keys = set(&[Signer::p256().jwk("a"), Signer::p384().jwk("b"), Signer::ed25519().jwk("c")]);
    for (id, algorithm) in
        [("a", Algorithm::ES256), ("b", Algorithm::ES384), ("c", Algorithm::EdDSA)]
    {
        assert!(keys.find(Some(id), algorithm).is_some());
        for other in [Algorithm::RS256, Algorithm::PS512, Algorithm::HS256] {
            assert!(keys.find(Some(id), other).is_none());
        }
    }
    assert!(keys.find(Some("a"), Algorithm::ES384).is_none());
    assert!(keys.find(Some("d"), Algorithm::ES256).is_none());
}

#[test]
fn the_alg_that_a_key_names_is_its_only_one() {
    let mut key = Signer::rsa().jwk("a");
    assert!(set(&[key.clone()]).find(Some("a"), Algorithm::RS512).is_some());
    key["alg"] = json!("PS256");
    let keys = set(&[key]);
    assert!(keys.find(Some("a"), Algorithm::PS256).is_some());
    assert!(keys.find(Some("a"), Algorithm::RS256).is_none());
}

#[test]
fn without_an_id_only_one_key_may_fit() {
    let one = Signer::p256().jwk("a");
    assert!(set(&[one.clone(), Signer::p384().jwk("b")]).find(None, Algorithm::ES256).is_some());
    assert!(set(&[one, Signer::p256().jwk("c")]).find(None, Algorithm::ES256).is_none());
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
    assert!(keys.find(Some("a"), Algorithm::ES256).is_some());
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
        prop_assert!(keys.find(Some("good"), Algorithm::ES256).is_some());
        let symmetric = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
        let listed = keys.0.iter().flat_map(|key| &key.algorithms).any(|algorithm| symmetric.contains(algorithm));
        prop_assert!(!listed);
    }
}
