use std::time::Duration;

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use futures_util::FutureExt;
use http::HeaderValue;
use serde_json::{Value, json};
use url::form_urlencoded::{self, Serializer};

use super::*;

const TOKEN: &str = "https://id.example/token";
const NOW: u64 = 1_800_000_000;

/// What the next request to `endpoint` says of the client.
fn apply_at(auth: &ClientAuth, endpoint: &'static str) -> (Option<HeaderValue>, String) {
    let recipient = Recipient {
        endpoint: &Uri::from_static(endpoint),
        token_endpoint: &Uri::from_static(TOKEN),
        issuer: Some("https://id.example"),
        now: SystemTime::UNIX_EPOCH + Duration::from_secs(NOW),
    };
    // What is fixed is there at once.
    let credentials = auth.credentials(&recipient).now_or_never().unwrap().unwrap();
    let mut form = Serializer::new(String::new());
    let header = credentials.apply(&mut form);
    (header, form.finish())
}

fn apply(auth: &ClientAuth) -> (Option<HeaderValue>, String) {
    apply_at(auth, TOKEN)
}

/// A field of the form.
fn field(form: &str, name: &str) -> Option<String> {
    let mut fields = form_urlencoded::parse(form.as_bytes());
    fields.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// Header and claims of the assertion.
fn assertion(form: &str) -> (Value, Value) {
    let jwt = field(form, "client_assertion").unwrap();
    let mut parts = jwt.split('.').map(|part| {
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap_or_default()
    });
    (parts.next().unwrap(), parts.next().unwrap())
}

fn signing_key() -> SigningKey {
    let pair = aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap();
    let der = BASE64_STANDARD.encode(pair.to_pkcs8().unwrap());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n");
    SigningKey::from_pem(pem, SigningAlgorithm::EdDsa).unwrap()
}

#[test]
fn basic_form_encodes_before_base64() {
    let (header, form) = apply(&ClientAuth::basic("my app:1", "p@ss +%\u{e4}"));
    let header = header.unwrap();
    assert!(header.is_sensitive() && form.is_empty());
    let encoded = header.to_str().unwrap().strip_prefix("Basic ").unwrap();
    let pair = String::from_utf8(BASE64_STANDARD.decode(encoded).unwrap()).unwrap();
    assert_eq!(pair, "my+app%3A1:p%40ss+%2B%25%C3%A4");
}

#[test]
fn post_and_none_go_into_the_body() {
    let (header, form) = apply(&ClientAuth::post("app", String::from("s&c=t")));
    assert!(header.is_none());
    assert_eq!(form, "client_id=app&client_secret=s%26c%3Dt");

    let (header, form) = apply(&ClientAuth::none("app"));
    assert!(header.is_none());
    assert_eq!(form, "client_id=app");
}

#[test]
fn an_assertion_says_who_the_client_is_for_whom_and_how_long() {
    let auth = ClientAuth::private_key_jwt("app", signing_key().key_id("k1"));
    let (header, form) = apply(&auth);
    assert!(header.is_none());
    assert_eq!(field(&form, "client_id").as_deref(), Some("app"));
    assert_eq!(
        field(&form, "client_assertion_type").as_deref(),
        Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
    );
    let (header, mut claims) = assertion(&form);
    assert_eq!(header, json!({ "alg": "EdDSA", "typ": "JWT", "kid": "k1" }));
    let jti = claims.as_object_mut().unwrap().remove("jti").unwrap();
    assert_eq!(jti.as_str().unwrap().len(), 36);
    assert_eq!(
        claims,
        json!({ "iss": "app", "sub": "app", "aud": TOKEN, "iat": NOW - 5, "nbf": NOW - 5, "exp": NOW + 60 })
    );
    let again = assertion(&apply(&auth).1).1;
    assert_ne!(again["jti"], jti, "each request has its own");
}

#[test]
fn an_assertion_is_for_whom_the_setting_says() {
    let revoke = "https://id.example/revoke";
    for (audience, token, revocation) in [
        (AssertionAudience::TokenEndpoint, TOKEN, TOKEN),
        (AssertionAudience::RequestedEndpoint, TOKEN, revoke),
        (AssertionAudience::Issuer, "https://id.example", "https://id.example"),
        (AssertionAudience::Other("urn:as".into()), "urn:as", "urn:as"),
    ] {
        let auth = ClientAuth::client_secret_jwt("app", "hunter2").assertion_audience(audience);
        assert_eq!(assertion(&apply(&auth).1).1["aud"], token);
        assert_eq!(assertion(&apply_at(&auth, revoke).1).1["aud"], revocation);
    }
}

#[test]
fn a_secret_signs_and_is_not_sent() {
    let (header, form) = apply(&ClientAuth::client_secret_jwt("app", "hunter2"));
    assert!(header.is_none() && !form.contains("hunter2"));
    assert_eq!(assertion(&form).0, json!({ "alg": "HS256", "typ": "JWT" }));
    let jwt = field(&form, "client_assertion").unwrap();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
    validation.set_audience(&[TOKEN]);
    validation.validate_exp = false;
    let key = jsonwebtoken::DecodingKey::from_secret(b"hunter2");
    jsonwebtoken::decode::<Value>(&jwt, &key, &validation).unwrap();
}

#[test]
fn a_federated_token_is_sent_as_it_is() {
    let (header, form) = apply(&ClientAuth::federated("app", "e.y.J"));
    assert!(header.is_none());
    assert_eq!(field(&form, "client_assertion").as_deref(), Some("e.y.J"));
    assert_eq!(field(&form, "client_id").as_deref(), Some("app"));
}

#[test]
fn with_mutual_tls_the_form_has_the_client_id_alone() {
    let (header, form) = apply(&ClientAuth::mutual_tls("app"));
    assert!(header.is_none());
    assert_eq!(form, "client_id=app");
}

#[test]
fn empty_credentials_are_a_config_error() {
    assert!(ClientAuth::none("").check().is_err());
    assert!(ClientAuth::basic("app", "").check().is_err());
    assert!(ClientAuth::post("app", "").check().is_err());
    assert!(ClientAuth::client_secret_jwt("app", "").check().is_err());
    assert!(ClientAuth::federated("app", String::new()).check().is_err());
    assert!(ClientAuth::mutual_tls("").check().is_err());
    let audience = AssertionAudience::Other(String::new());
    assert!(ClientAuth::basic("app", "s").assertion_audience(audience).check().is_err());
    assert!(ClientAuth::basic("app", "s").check().is_ok());
}

#[test]
fn debug_shows_no_secret() {
    for auth in [
        ClientAuth::basic("app", "hunter2"),
        ClientAuth::post("app", "hunter2"),
        ClientAuth::client_secret_jwt("app", "hunter2"),
        ClientAuth::federated("app", "hunter2"),
    ] {
        assert!(!format!("{auth:?}").contains("hunter2"));
        assert!(!format!("{:?}", apply(&auth).0).contains("hunter2"));
    }
    assert_eq!(format!("{:?}", SecretSource::from("hunter2")), "SecretSource(a fixed value)");
}

#[test]
fn strings_of_every_kind_are_accepted() {
    let (id, secret) = (String::from("app"), String::from("s"));
    ClientAuth::none(&id);
    ClientAuth::basic(&id, &secret);
    ClientAuth::post(&id, &secret);
    ClientAuth::basic("app", secret.clone());
    ClientAuth::basic(id, secret);
}

#[test]
fn a_client_that_the_provider_does_not_accept_is_named_with_the_setting_to_change() {
    let rejected = |auth: ClientAuth, code| {
        auth.explain(
            EndpointError::new(EndpointErrorKind::Rejected { code }),
            Some("refresh_token"),
        )
        .to_string()
    };
    assert_eq!(
        rejected(ClientAuth::basic("app", "hunter2"), "invalid_client"),
        "the provider rejected the request: invalid_client; it does not accept the client \"app\": \
         check id and secret in `ClientAuth::basic`"
    );
    assert_eq!(
        rejected(ClientAuth::post("app", "hunter2"), "unauthorized_client"),
        "the provider rejected the request: unauthorized_client; it does not accept the client \
         \"app\": check id and secret in `ClientAuth::post`, and whether the client may use the \
         refresh_token grant"
    );
    assert!(rejected(ClientAuth::none("app"), "invalid_client").contains("needs a secret"));
    for (auth, setting) in [
        (ClientAuth::client_secret_jwt("app", "hunter2"), "`ClientAuth::client_secret_jwt`"),
        (ClientAuth::private_key_jwt("app", signing_key()), "`ClientAuth::private_key_jwt`"),
        (ClientAuth::federated("app", "hunter2"), "`ClientAuth::federated`"),
        (ClientAuth::mutual_tls("app"), "`ClientAuth::mutual_tls`"),
    ] {
        let shown = rejected(auth, "invalid_client");
        assert!(shown.contains(setting) && !shown.contains("hunter2"), "{shown}");
    }
    assert_eq!(
        rejected(ClientAuth::basic("app", "hunter2"), "invalid_scope"),
        "the provider rejected the request: invalid_scope"
    );
}
