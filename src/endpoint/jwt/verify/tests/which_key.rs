//! Which of the provider's keys are tried.

use serde_json::json;

use super::*;

/// `ours` has signed the token; `k` is the name that it gives.
#[test]
fn every_key_that_fits_is_tried() {
    let (ours, other) = (Signer::p256(), Signer::p256());
    let named = |signer: &Signer, kid: Value| {
        let mut jwk = signer.jwk("");
        jwk["kid"] = kid;
        jwk
    };
    let nameless = |signer: &Signer| named(signer, json!(null));
    let k = || json!("k");
    for (row, kid, set, expected) in [
        ("one kid twice", k(), vec![named(&other, k()), named(&ours, k())], "ok"),
        ("a set without kid", k(), vec![nameless(&other), nameless(&ours)], "ok"),
        (
            "an empty kid in the set",
            k(),
            vec![named(&other, json!("")), named(&ours, json!(""))],
            "ok",
        ),
        (
            "an empty kid in the token",
            json!(""),
            vec![named(&other, json!("a")), named(&ours, k())],
            "ok",
        ),
        (
            "a token without kid",
            json!(null),
            vec![named(&other, json!("a")), named(&ours, k())],
            "ok",
        ),
        ("an odd kid in the token", json!([7]), vec![named(&ours, k())], "ok"),
        (
            "a number as kid",
            json!(7),
            vec![named(&other, json!("a")), named(&ours, json!("7"))],
            "ok",
        ),
        (
            "an unknown kid, and one without",
            k(),
            vec![named(&other, json!("a")), nameless(&ours)],
            "ok",
        ),
        ("a kid that others have", k(), vec![named(&ours, json!("a"))], "unknown"),
        ("an unknown kid, and a wrong one without", k(), vec![nameless(&other)], "unknown"),
        (
            "the named key is wrong, another is right",
            k(),
            vec![named(&other, k()), nameless(&ours)],
            "signature",
        ),
        ("none fits", json!(null), vec![named(&other, json!("a"))], "signature"),
        ("an empty set", k(), vec![], "unknown"),
    ] {
        let token = ours.sign("ES256", &json!({"alg": "ES256", "kid": kid}), &claims());
        let verified = match verify(&token, &keys(&set)) {
            Ok(()) => "ok",
            Err(VerifyError::UnknownKey) => "unknown",
            Err(VerifyError::Signature) => "signature",
            Err(other) => panic!("{row}: {other}"),
        };
        assert_eq!(verified, expected, "{row}");
    }
}

#[test]
fn a_hundred_keys_are_tried_and_no_more() {
    let (ours, other) = (Signer::ed25519(), Signer::ed25519());
    let token = ours.sign("EdDSA", &json!({"alg": "EdDSA"}), &claims());
    for (others, verifies) in [(99, true), (100, false)] {
        let mut set = vec![other.jwk(""); others];
        set.push(ours.jwk(""));
        assert_eq!(verify(&token, &keys(&set)).is_ok(), verifies, "{others} before ours");
    }
}
