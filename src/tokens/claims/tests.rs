use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::json;

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
fn errors_name_the_place_but_not_the_content() {
    let shape = payload::<StandardClaims>(&jwt(r#"{"sub": 12, "exp": "hunter2"}"#)).unwrap_err();
    assert!(matches!(shape, ClaimsError::WrongShape { line: 1, .. }), "{shape}");
    let wrong_exp = payload::<StandardClaims>(&jwt(r#"{"exp": "hunter2"}"#)).unwrap_err();
    assert!(!format!("{wrong_exp} {wrong_exp:?}").contains("hunter2"));

    assert!(matches!(
        payload::<Value>(&jwt("{hunter2")),
        Err(ClaimsError::NotJson { line: 1, .. })
    ));
    assert_eq!(payload::<Value>("e30.###.c2ln"), Err(ClaimsError::NotBase64Url));
    assert_eq!(payload::<Value>("opaque"), Err(ClaimsError::NotAJwt));
    assert_eq!(
        payload::<Value>("a.b.c.e30.e"),
        Err(ClaimsError::NotAJwt),
        "an encrypted token has no payload"
    );
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
