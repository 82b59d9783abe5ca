use aws_lc_rs::hmac;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::endpoint::test_support::{
    SECRET, everything_printed,
    signing::{Signer, part},
};

mod spellings;
mod which_key;

const ISSUER: &str = "https://id.example";
const CLIENT: &str = "web";
const NOW: u64 = 2_000_000_000;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
}

fn claims() -> Value {
    json!({"iss": ISSUER, "sub": "alice", "aud": CLIENT, "exp": NOW + 300, "iat": NOW, "note": SECRET})
}

fn keys(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

fn verify(token: &str, keys: &KeySet) -> Result<(), VerifyError> {
    let jwt = Jwt::parse(token)?;
    jwt.check_claims(&Expected::id_token(Some(&Issuers::new(ISSUER, &[])), CLIENT), now())?;
    jwt.check_signature(keys)
}

/// Checks the claims of a good token after a change.
fn with_claims(change: impl FnOnce(&mut Value)) -> Result<(), VerifyError> {
    let mut changed = claims();
    change(&mut changed);
    let token = format!("{}.{}.c2ln", part(&json!({"alg": "ES256"})), part(&changed));
    Jwt::parse(&token)?
        .check_claims(&Expected::id_token(Some(&Issuers::new(ISSUER, &[])), CLIENT), now())
}

#[track_caller]
fn assert_claim(result: Result<(), VerifyError>, claim: &str) {
    match result {
        Err(VerifyError::Claim { name, .. }) => assert_eq!(name, claim),
        other => panic!("{claim}: {other:?}"),
    }
}

#[test]
fn every_asymmetric_algorithm_verifies_by_its_own_key_and_no_other() {
    let signers = [
        (Signer::rsa(), &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"][..]),
        (Signer::p256(), &["ES256"]),
        (Signer::p384(), &["ES384"]),
        (Signer::ed25519(), &["EdDSA"]),
    ];
    for (signer, algorithms) in &signers {
        let own = keys(&[signer.jwk("k")]);
        for alg in *algorithms {
            let token = signer.sign(alg, &json!({"alg": alg, "kid": "k"}), &claims());
            verify(&token, &own).unwrap_or_else(|error| panic!("{alg}: {error}"));
            let other = match signer {
                Signer::Rsa(_) => Signer::rsa(),
                Signer::P256(_) => Signer::p256(),
                Signer::P384(_) => Signer::p384(),
                Signer::Ed25519(_) => Signer::ed25519(),
            };
            let refused = verify(&token, &keys(&[other.jwk("k")]));
            assert!(matches!(refused, Err(VerifyError::Signature)), "{alg}: {refused:?}");
        }
    }
}

#[test]
fn a_changed_payload_or_signature_is_refused() {
    let signer = Signer::p256();
    let keys = keys(&[signer.jwk("k")]);
    let token = signer.sign("ES256", &json!({"alg": "ES256", "kid": "k"}), &claims());
    let [header, _, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };
    let mut mallory = claims();
    mallory["sub"] = json!("mallory");
    let forged = format!("{header}.{}.{signature}", part(&mallory));
    assert!(matches!(verify(&forged, &keys), Err(VerifyError::Signature)));
    let (start, _) = token.rsplit_once('.').unwrap();
    for signature in ["", "AAAA"] {
        let forged = format!("{start}.{signature}");
        assert!(matches!(verify(&forged, &keys), Err(VerifyError::Signature)));
    }
}

#[test]
fn no_algorithm_but_the_asymmetric_ones_is_accepted() {
    let signer = Signer::rsa();
    let jwk = signer.jwk("k");
    let keys = keys(std::slice::from_ref(&jwk));
    for alg in [
        "none", "None", "", "HS256", "HS384", "HS512", "ES512", "ES256K", "rs256", "RSA-OAEP",
        "dir",
    ] {
        let unsigned = format!("{}.{}.", part(&json!({"alg": alg, "kid": "k"})), part(&claims()));
        assert!(matches!(verify(&unsigned, &keys), Err(VerifyError::Algorithm)), "{alg}");
    }
    for header in
        [json!({"kid": "k"}), json!({"alg": 7, "kid": "k"}), json!({"alg": ["RS256"], "kid": "k"})]
    {
        let unsigned = format!("{}.{}.", part(&header), part(&claims()));
        assert!(matches!(verify(&unsigned, &keys), Err(VerifyError::Algorithm)));
    }

    // The public key as the shared secret: an attacker can try every form that a provider
    // publishes.
    let signed = format!("{}.{}", part(&json!({"alg": "HS256", "kid": "k"})), part(&claims()));
    let modulus = BASE64_URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap();
    for secret in [modulus, jwk["n"].as_str().unwrap().into(), jwk.to_string().into_bytes()] {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), signed.as_bytes());
        let forged = format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(tag));
        assert!(matches!(verify(&forged, &keys), Err(VerifyError::Algorithm)));
    }
}

#[test]
fn an_algorithm_that_does_not_fit_the_key_finds_none() {
    let (rsa, ec) = (Signer::rsa(), Signer::p256());
    let keys = keys(&[ec.jwk("ec")]);
    let token = rsa.sign("RS256", &json!({"alg": "RS256", "kid": "ec"}), &claims());
    assert!(matches!(verify(&token, &keys), Err(VerifyError::UnknownKey)));
    let token = ec.sign("ES256", &json!({"alg": "ES384", "kid": "ec"}), &claims());
    assert!(matches!(verify(&token, &keys), Err(VerifyError::UnknownKey)));
}

#[test]
fn what_a_token_says_of_its_own_keys_is_not_looked_at() {
    let (ours, theirs) = (Signer::p256(), Signer::p256());
    let keys = keys(&[ours.jwk("k")]);
    let header = json!({
        "alg": "ES256", "kid": "k", "jwk": theirs.jwk("k"), "jku": "https://evil.example/keys",
        "x5u": "https://evil.example/chain", "x5c": ["MIIB"],
    });
    assert!(matches!(
        verify(&theirs.sign("ES256", &header, &claims()), &keys),
        Err(VerifyError::Signature)
    ));
    assert!(verify(&ours.sign("ES256", &header, &claims()), &keys).is_ok());
    let odd = json!({"alg": "ES256", "kid": "k", "jwk": 7, "jku": [], "x5c": {}});
    assert!(verify(&ours.sign("ES256", &odd, &claims()), &keys).is_ok());
}

#[test]
fn a_critical_header_is_refused() {
    let signer = Signer::p256();
    let keys = keys(&[signer.jwk("k")]);
    for crit in [json!(["b64"]), json!([]), json!("exp"), json!({})] {
        let header = json!({"alg": "ES256", "kid": "k", "crit": crit, "b64": true});
        let token = signer.sign("ES256", &header, &claims());
        assert!(matches!(verify(&token, &keys), Err(VerifyError::Critical)));
    }
}

#[test]
fn a_token_of_another_type_is_refused() {
    let signer = Signer::p256();
    let keys = keys(&[signer.jwk("k")]);
    let of_type = |typ: Value| {
        verify(
            &signer.sign("ES256", &json!({"alg": "ES256", "kid": "k", "typ": typ}), &claims()),
            &keys,
        )
    };
    for good in ["JWT", "jwt", "application/jwt"] {
        assert!(of_type(json!(good)).is_ok(), "{good}");
    }
    for bad in [json!("logout+jwt"), json!("at+jwt"), json!(""), json!(7)] {
        assert!(matches!(of_type(bad), Err(VerifyError::Type)));
    }
}

#[test]
fn the_claims_have_to_be_there_and_right() {
    assert!(with_claims(|_| {}).is_ok());
    for name in ["iss", "sub", "aud", "exp", "iat"] {
        assert_claim(with_claims(|claims| claims[name] = json!(null)), name);
    }
    for issuer in ["https://id.example/", "https://ID.example", "https://id.example.evil", ""] {
        assert_claim(with_claims(|claims| claims["iss"] = json!(issuer)), "iss");
    }
    for audience in
        [json!("web2"), json!("we"), json!([]), json!(["api"]), json!({"web": 1}), json!([["web"]])]
    {
        assert_claim(with_claims(|claims| claims["aud"] = audience), "aud");
    }
    assert!(with_claims(|claims| claims["aud"] = json!(["web"])).is_ok());
}

#[test]
fn times_are_told_by_our_clock_with_a_minute_of_leeway() {
    let at = |name: &str, seconds: Value| with_claims(|claims| claims[name] = seconds);
    assert!(at("exp", json!(NOW - 59)).is_ok());
    assert_claim(at("exp", json!(NOW - 60)), "exp");
    for name in ["iat", "nbf"] {
        assert!(at(name, json!(NOW + 60)).is_ok());
        assert_claim(at(name, json!(NOW + 61)), name);
    }
    for name in ["exp", "iat", "nbf"] {
        for odd in [json!("soon"), json!([]), json!(true)] {
            assert_claim(at(name, odd), name);
        }
    }
    assert!(at("exp", json!((NOW + 1) as f64 + 0.5)).is_ok());
}

#[test]
fn what_is_no_signed_jwt_is_refused() {
    let good = part(&json!({"alg": "ES256"}));
    for (token, is_a_jwt) in [
        (String::new(), false),
        ("opaque".into(), false),
        ("a.b".into(), false),
        ("a.b.c.d.e".into(), false),
        (format!("{good}.{good}.{good}.{good}"), false),
        (format!("%.{good}.c2ln"), true),
        (format!("{good}.W10.c2ln"), true),
        (format!("W10.{good}.c2ln"), true),
        (format!("{good}.{good}.=="), true),
    ] {
        match Jwt::parse(&token).map(|_| ()) {
            Err(VerifyError::NotAJwt) => assert!(!is_a_jwt, "{token}"),
            Err(VerifyError::Malformed { .. } | VerifyError::SignatureForm) => {
                assert!(is_a_jwt, "{token}");
            }
            other => panic!("{token}: {other:?}"),
        }
    }
    assert!(matches!(
        Jwt::parse(&"a".repeat(MAX_TOKEN + 1)).map(|_| ()),
        Err(VerifyError::TooLong)
    ));
}

#[test]
fn a_payload_nested_without_end_is_refused() {
    let deep = BASE64_URL_SAFE_NO_PAD.encode(format!(
        "{{\"a\":{}1{}}}",
        "[".repeat(20_000),
        "]".repeat(20_000)
    ));
    let token = format!("{}.{deep}.c2ln", part(&json!({"alg": "ES256"})));
    assert!(matches!(
        Jwt::parse(&token).map(|_| ()),
        Err(VerifyError::Malformed { part: "payload" })
    ));
}

proptest! {
    #[test]
    fn no_token_makes_it_panic_or_tells_what_stood_in_it(
        header in prop_oneof![
            Just(json!({"alg": "ES256", "kid": "k"})),
            "[a-zA-Z0-9]{0,8}".prop_map(|alg| json!({"alg": alg, "kid": "k"})),
            "\\PC{0,20}".prop_map(|kid| json!({"alg": "ES256", "kid": kid, "typ": SECRET})),
            Just(json!([SECRET])),
        ],
        name in "iss|sub|aud|exp|iat|nbf|azp",
        value in prop_oneof![
            any::<f64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            Just(json!(SECRET)),
            Just(json!([SECRET, {"a": SECRET}])),
        ],
        signature in "[A-Za-z0-9_-]{0,90}",
    ) {
        let keys = keys(&[Signer::p256().jwk("k")]);
        let mut claims = claims();
        claims[name.as_str()] = value;
        let token = format!("{}.{}.{signature}", part(&header), part(&claims));
        let error = verify(&token, &keys).expect_err("nobody signed this");
        let printed = everything_printed(&error);
        prop_assert!(!printed.contains(SECRET) && !printed.contains(&part(&claims)), "{printed}");
    }

    #[test]
    fn no_text_makes_it_panic(token in "\\PC{0,200}|[A-Za-z0-9_.-]{0,200}") {
        prop_assert!(verify(&token, &keys(&[])).is_err());
    }
}
