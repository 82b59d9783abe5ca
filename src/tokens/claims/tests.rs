use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;

fn jwt(payload: impl AsRef<[u8]>) -> String {
    format!("eyJhbGciOiJub25lIn0.{}.c2ln", URL_SAFE_NO_PAD.encode(payload))
}

#[test]
fn keycloaks_access_token_is_read() {
    let claims: StandardClaims = payload(&jwt(json!({
        "iss": "https://id.example/realms/a", "sub": "alice", "aud": ["account", "api"], "azp": "web",
        "exp": 1_700_000_300, "iat": 1_700_000_000, "sid": "s-1", "scope": "openid email",
        "preferred_username": "alice", "email": "a@example.org", "name": "Alice", "typ": "Bearer",
        "realm_access": {"roles": ["admin"]},
        "resource_access": {"api": {"roles": ["read", "write"]}}
    })
    .to_string()))
    .unwrap();

    assert_eq!(claims.audience(), ["account", "api"]);
    assert_eq!(
        (claims.exp, claims.iat, claims.nbf),
        (Some(1_700_000_300), Some(1_700_000_000), None)
    );
    assert!(claims.has_realm_role("admin") && !claims.has_realm_role("Admin"));
    assert!(claims.has_role("api", "read") && !claims.has_role("web", "read"));
}

#[test]
fn what_other_providers_write_differently_is_read_too() {
    let claims: StandardClaims = payload(&jwt(
        json!({"aud": "api", "exp": 1_700_000_300.9, "iat": "1700000000", "nbf": null, "scope": ["a", "b"],
               "realm_access": null})
        .to_string(),
    ))
    .unwrap();

    assert_eq!(claims.audience(), ["api"]);
    assert_eq!(
        (claims.exp, claims.iat, claims.nbf),
        (Some(1_700_000_300), Some(1_700_000_000), None)
    );
    assert_eq!(claims.scope.as_deref(), Some("a b"));
    assert_eq!(payload::<StandardClaims>(&jwt("{}")).unwrap(), StandardClaims::default());
}

#[test]
fn an_odd_claim_is_absent_and_hides_no_other() {
    let odd = ["null", "true", "1.5", "[]", "{}", "[7]", r#"{"a":1}"#, "184467440737095516150"];
    let texts = ["iss", "sub", "jti", "azp", "sid", "preferred_username", "email", "name"];
    for name in texts {
        for value in odd {
            let json = format!(r#"{{"{name}":{value},"scope":"a"}}"#);
            let claims: StandardClaims = payload(&jwt(&json)).expect("never an error");
            let only_scope = StandardClaims { scope: Some("a".into()), ..Default::default() };
            assert_eq!(claims, only_scope, "{json}");
        }
    }
    for name in ["aud", "scope", "exp", "iat", "nbf", "realm_access", "resource_access"] {
        for value in ["null", "true", "{}", r#"{"a":1}"#, "[true]", "[{}]"] {
            let json = format!(r#"{{"{name}":{value},"sub":"alice"}}"#);
            let claims: StandardClaims = payload(&jwt(&json)).expect("never an error");
            let only_sub = StandardClaims { sub: Some("alice".into()), ..Default::default() };
            assert_eq!(claims, only_sub, "{json}");
        }
    }
    for value in ["-1", r#""soon""#, r#""""#] {
        let json = format!(r#"{{"exp":{value},"iat":{value},"nbf":{value}}}"#);
        assert_eq!(payload(&jwt(&json)), Ok(StandardClaims::default()), "{json}");
    }
}

#[test]
fn a_number_where_text_is_expected_becomes_text() {
    let json = r#"{"iss":1,"sub":42,"jti":-7,"azp":3,"sid":18446744073709551615,
        "preferred_username":4,"email":5,"name":6}"#;
    let claims: StandardClaims = payload(&jwt(json)).expect("read");
    let read = [&claims.iss, &claims.sub, &claims.jti, &claims.azp, &claims.sid];
    assert_eq!(
        read.map(Option::as_deref),
        [Some("1"), Some("42"), Some("-7"), Some("3"), Some("18446744073709551615")]
    );
    let read = [&claims.preferred_username, &claims.email, &claims.name];
    assert_eq!(read.map(Option::as_deref), [Some("4"), Some("5"), Some("6")]);
}

#[test]
fn a_list_keeps_what_is_text() {
    for (aud, read) in [
        (r#""api""#, &["api"][..]),
        (r#"["api",null,{"a":1},["b"],true,"web",7]"#, &["api", "web", "7"]),
        ("42", &["42"]),
        ("[]", &[]),
    ] {
        let claims: StandardClaims =
            payload(&jwt(format!(r#"{{"aud":{aud}}}"#))).expect("never an error");
        assert_eq!(claims.audience(), read, "{aud}");
    }
    let claims: StandardClaims = payload(&jwt(r#"{"scope":["a",7,null,"b"]}"#)).expect("read");
    assert_eq!(claims.scope.as_deref(), Some("a b"));
}

#[test]
fn what_is_no_list_of_roles_gives_no_role() {
    for realm in [
        "null",
        r#""admin""#,
        r#"["admin"]"#,
        r#"[["admin"]]"#,
        r#"{"roles":"admin"}"#,
        r#"{"roles":{"admin":true}}"#,
        r#"{"roles":[["admin"],{"admin":1},null]}"#,
    ] {
        let json = format!(r#"{{"realm_access":{realm},"resource_access":{{"api":{realm}}}}}"#);
        let claims: StandardClaims = payload(&jwt(&json)).expect("never an error");
        assert!(!claims.has_realm_role("admin") && !claims.has_role("api", "admin"), "{json}");
    }
    let json = r#"{"realm_access":{"roles":["user",7,null]},
        "resource_access":{"odd":7,"none":null,"api":{"roles":[{},"read"]}}}"#;
    let claims: StandardClaims = payload(&jwt(json)).expect("read");
    assert_eq!(claims.realm_access.roles, ["user"]);
    assert_eq!(claims.resource_access.len(), 1);
    assert!(claims.has_role("api", "read"));
}

#[test]
fn of_a_claim_that_comes_twice_the_last_one_counts() {
    let claims: StandardClaims = payload(&jwt(r#"{"sub":"bob","sub":"alice"}"#)).expect("read");
    assert_eq!(claims.sub.as_deref(), Some("alice"));
}

#[test]
fn the_payload_is_read_in_either_alphabet_and_with_padding() {
    // Chosen so that both alphabets and the padding differ.
    let claims = r#"{"sub":"aé?>~"}"#;
    let url_safe = URL_SAFE_NO_PAD.encode(claims);
    assert!(url_safe.contains(['-', '_']) && !url_safe.len().is_multiple_of(4), "{url_safe}");
    for part in
        [url_safe, STANDARD.encode(claims), STANDARD_NO_PAD.encode(claims), URL_SAFE.encode(claims)]
    {
        let read: StandardClaims = payload(&format!("e30.{part}.c2ln")).expect("read");
        assert_eq!(read.sub.as_deref(), Some("aé?>~"), "{part}");
    }
}

#[derive(Debug, PartialEq, Deserialize)]
struct Own {
    sub: Option<String>,
    exp: Option<u64>,
}

#[test]
fn errors_name_the_place_but_not_the_content() {
    for json in [r#"{"sub": 12, "exp": 7}"#, r#"{"exp": "hunter2"}"#, r#"["hunter2"]"#] {
        let error = payload::<Own>(&jwt(json)).unwrap_err();
        assert!(matches!(error, ClaimsError::WrongShape { line: 1, .. }), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
    for json in ["7", r#""hunter2""#, r#"["hunter2"]"#, "null"] {
        let error = payload::<StandardClaims>(&jwt(json)).unwrap_err();
        assert!(matches!(error, ClaimsError::WrongShape { .. }), "{error}");
    }
    assert!(matches!(
        payload::<Value>(&jwt("{hunter2")),
        Err(ClaimsError::NotJson { line: 1, .. })
    ));
    assert!(matches!(payload::<Value>(&jwt([0xff])), Err(ClaimsError::NotJson { .. })));
    assert_eq!(payload::<Value>("e30.###.c2ln"), Err(ClaimsError::NotBase64Url));
    for token in ["", "opaque", "a.b", "a.b.c.e30.e"] {
        assert_eq!(payload::<Value>(token), Err(ClaimsError::NotAJwt), "{token}");
    }
}

#[test]
fn debug_does_not_tell_who_it_is() {
    let claims: StandardClaims = payload(&jwt(
        r#"{"sub":"hunter2","sid":"hunter2","jti":"hunter2","email":"hunter2","name":"hunter2"}"#,
    ))
    .unwrap();
    assert!(!format!("{claims:?}").contains("hunter2"));
}

proptest! {
    #[test]
    fn any_text_is_claims_or_an_error(text in ".*", bytes: Vec<u8>) {
        let _ = payload::<StandardClaims>(&text);
        let _ = payload::<StandardClaims>(&jwt(bytes));
    }
}
