//! What providers write in their own way, and what is still wrong.

use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::json;

use super::*;

/// OpenID Connect Core 1.0 with errata set 2, 3.1.3.7, items 3 to 5.
#[test]
fn an_authorized_party_is_this_client_and_may_be_absent_beside_several_audiences() {
    for (aud, azp, broken) in [
        (json!("web"), None, None),
        (json!("web"), Some(json!(null)), None),
        (json!("web"), Some(json!("web")), None),
        (json!("web"), Some(json!("other")), Some("azp")),
        (json!("web"), Some(json!(["web"])), Some("azp")),
        (json!("web"), Some(json!("")), Some("azp")),
        (json!(["web", "api"]), None, None),
        (json!(["api", "web"]), Some(json!("web")), None),
        (json!(["web", "api"]), Some(json!("api")), Some("azp")),
        (json!(["api", null, {"web": 1}, 7, "web"]), None, None),
        (json!(["api"]), Some(json!("web")), Some("aud")),
    ] {
        let row = format!("{aud} {azp:?}");
        let checked = with_claims(|claims| {
            claims["aud"] = aud;
            claims.as_object_mut().unwrap().extend(azp.map(|azp| ("azp".to_owned(), azp)));
        });
        match broken {
            None => assert!(checked.is_ok(), "{row}: {checked:?}"),
            Some(claim) => assert_claim(checked, claim),
        }
    }
}

#[test]
fn an_accepted_issuer_may_sign_for_a_tenant_that_the_token_names() {
    let issuers = Issuers::new(ISSUER, &["https://id.example/{tenantid}/v2.0".into()]);
    for (iss, tid, passes) in [
        (ISSUER, json!(null), true),
        ("https://id.example/a/v2.0", json!("a"), true),
        ("https://id.example/a/v2.0", json!("b"), false),
        ("https://id.example/{tenantid}/v2.0", json!(null), false),
    ] {
        let mut claims = claims();
        (claims["iss"], claims["tid"]) = (json!(iss), tid);
        let token = format!("{}.{}.c2ln", part(&json!({"alg": "ES256"})), part(&claims));
        let expected = Expected::id_token(Some(&issuers), CLIENT);
        let checked = Jwt::parse(&token).unwrap().check_claims(&expected, now());
        assert_eq!(checked.is_ok(), passes, "{claims}");
    }
}

/// The signature is over the parts as sent, so each spelling is signed by itself.
#[test]
fn each_part_is_read_in_either_alphabet_and_with_padding() {
    let signer = Signer::p256();
    let keys = keys(&[signer.jwk("k")]);
    let header = json!({"alg": "ES256", "kid": "k", "note": "?>~"}).to_string();
    let mut claims = claims();
    claims["note"] = json!("?>~~?>");
    for alphabet in [&URL_SAFE, &STANDARD, &STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
        let signed =
            format!("{}.{}", alphabet.encode(&header), alphabet.encode(claims.to_string()));
        let signature = alphabet.encode(signer.signature_of("ES256", &signed));
        assert!(verify(&format!("{signed}.{signature}"), &keys).is_ok(), "{signed}");
    }
}
