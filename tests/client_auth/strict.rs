//! What the strict issuer refuses, though it is signed by the client.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, StatusCode};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use support::World;

const SECRET: &str = "a-secret-of-thirty-two-characters";
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

struct Scene {
    world: World,
    now: u64,
}

impl Scene {
    fn new() -> Self {
        let world = World::configured(
            |issuer| issuer.client_with_secret_jwt("app", SECRET),
            |builder| builder,
        );
        let now = world.clock.clock().now();
        let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        Self { world, now }
    }

    fn good(&self) -> Value {
        json!({
            "iss": "app", "sub": "app", "aud": self.world.issuer.token_url(), "jti": "1",
            "iat": self.now, "nbf": self.now, "exp": self.now + 60,
        })
    }

    /// What the token endpoint answers.
    fn post(&self, assertion: &str, more: &[(&str, &str)], basic: bool) -> (StatusCode, String) {
        let tokens = self.world.issuer.log_in("alice");
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "refresh_token")
            .append_pair("refresh_token", tokens["refresh_token"].as_str().unwrap())
            .append_pair("client_assertion", assertion)
            .extend_pairs(more);
        let mut request = Request::post(self.world.issuer.token_url())
            .header("content-type", "application/x-www-form-urlencoded");
        if basic {
            request = request.header("authorization", "Basic YXBwOnNlY3JldA==");
        }
        let answer = self.world.issuer.handle(request.body(Bytes::from(form.finish())).unwrap());
        let body: Value = serde_json::from_slice(answer.body()).unwrap();
        (answer.status(), body["error"].as_str().unwrap_or_default().to_owned())
    }

    fn says(&self, claims: &Value) -> StatusCode {
        self.post(
            &signed(Algorithm::HS256, claims),
            &[("client_assertion_type", JWT_BEARER)],
            false,
        )
        .0
    }
}

fn signed(algorithm: Algorithm, claims: &Value) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&Header::new(algorithm), claims, &key).unwrap()
}

#[test]
fn each_claim_must_be_right() {
    let scene = Scene::new();
    let now = scene.now;
    assert_eq!(scene.says(&scene.good()), StatusCode::OK);
    assert_eq!(scene.says(&scene.good()), StatusCode::UNAUTHORIZED, "the same `jti`");
    let issuer = scene.world.issuer.issuer_url();
    for (claim, value) in [
        ("iss", json!("other")),
        ("sub", json!("other")),
        ("aud", json!("https://other.example")),
        ("aud", json!([issuer, "https://other.example"])),
        ("aud", json!([])),
        ("exp", json!(now)),
        ("exp", json!(now + 301)),
        ("exp", json!(null)),
        ("nbf", json!(now + 1)),
        ("iat", json!(now + 1)),
        ("jti", json!("")),
        ("jti", json!(null)),
    ] {
        let mut claims = scene.good();
        claims["jti"] = json!("2");
        claims[claim] = value.clone();
        assert_eq!(scene.says(&claims), StatusCode::UNAUTHORIZED, "{claim}: {value}");
    }
    for audience in [json!(issuer), json!([issuer])] {
        let mut claims = scene.good();
        claims["jti"] = json!(audience.to_string());
        claims["aud"] = audience;
        claims["exp"] = json!(now + 300);
        assert_eq!(scene.says(&claims), StatusCode::OK);
    }
}

#[test]
fn the_algorithm_and_the_type_must_be_right() {
    let scene = Scene::new();
    let kind = ("client_assertion_type", JWT_BEARER);
    let other = signed(Algorithm::HS512, &scene.good());
    assert_eq!(scene.post(&other, &[kind], false).0, StatusCode::UNAUTHORIZED);
    let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let none = format!("{}.{}.", part(json!({ "alg": "none" })), part(scene.good()));
    assert_eq!(scene.post(&none, &[kind], false).0, StatusCode::UNAUTHORIZED);
    let good = signed(Algorithm::HS256, &scene.good());
    assert_eq!(scene.post(&good, &[], false).0, StatusCode::UNAUTHORIZED);
    let saml = "urn:ietf:params:oauth:client-assertion-type:saml2-bearer";
    let saml = scene.post(&good, &[("client_assertion_type", saml)], false);
    assert_eq!(saml.0, StatusCode::UNAUTHORIZED);
    assert_eq!(scene.post(&good, &[kind], false).0, StatusCode::OK);
}

#[test]
fn two_methods_at_once_are_an_invalid_request() {
    let scene = Scene::new();
    let kind = ("client_assertion_type", JWT_BEARER);
    let refused = (StatusCode::BAD_REQUEST, "invalid_request".to_owned());
    let good = signed(Algorithm::HS256, &scene.good());
    assert_eq!(scene.post(&good, &[kind, ("client_secret", SECRET)], false), refused);
    assert_eq!(scene.post(&good, &[kind], true), refused);
}

#[test]
fn a_client_has_one_way_alone() {
    let scene = Scene::new();
    let form = format!("grant_type=client_credentials&client_id=app&client_secret={SECRET}");
    let request = Request::post(scene.world.issuer.token_url())
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Bytes::from(form));
    let answer = scene.world.issuer.handle(request.unwrap());
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
}

#[test]
fn the_discovery_document_names_the_methods() {
    let scene = Scene::new();
    let request = Request::get(scene.world.issuer.discovery_url()).body(Bytes::new());
    let answer = scene.world.issuer.handle(request.unwrap());
    let document: Value = serde_json::from_slice(answer.body()).unwrap();
    for endpoint in ["token", "revocation"] {
        let methods = &document[format!("{endpoint}_endpoint_auth_methods_supported")];
        let has = |name| methods.as_array().unwrap().iter().any(|method| method == name);
        assert!(has("private_key_jwt") && has("client_secret_jwt"), "{methods}");
        let algorithms =
            &document[format!("{endpoint}_endpoint_auth_signing_alg_values_supported")];
        assert!(algorithms.as_array().unwrap().iter().any(|name| name == "PS256"));
    }
}
