//! What the tokens look like, and that they verify.

use std::{collections::HashSet, time::Duration};

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use serde_json::{Value, json};
use tower_token_refresh::testing::StrictIssuer;

use crate::requests::*;

fn verified(issuer: &StrictIssuer, token: &str, audience: &str) -> Value {
    let jwks = issuer.handle(get_request(&issuer.jwks_url()));
    let jwks: JwkSet = serde_json::from_slice(jwks.body()).unwrap();
    let header = decode_header(token).unwrap();
    let key = jwks.find(&header.kid.unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&[audience]);
    validation.set_issuer(&[issuer.issuer_url()]);
    decode(token, &DecodingKey::from_jwk(key).unwrap(), &validation).unwrap().claims
}

#[test]
fn access_and_id_tokens_verify_against_the_jwks_and_are_shaped_like_keycloaks() {
    let issuer = StrictIssuer::builder().client_roles(["writer"]).build();
    let tokens = issuer.log_in("alice");

    let access = verified(&issuer, text(&tokens, "access_token"), "account");
    assert_eq!(access["sub"], json!(issuer.subject_of("alice")));
    assert_eq!(access["sid"], tokens["session_state"]);
    assert_eq!(access["typ"], "Bearer");
    assert_eq!(access["azp"], "web");
    assert_eq!(access["preferred_username"], "alice");
    assert_eq!(access["realm_access"]["roles"], json!(["offline_access", "user"]));
    assert_eq!(access["resource_access"]["web"]["roles"], json!(["writer"]));
    assert_eq!(access["exp"].as_u64().unwrap() - access["iat"].as_u64().unwrap(), 300);

    let id = verified(&issuer, text(&tokens, "id_token"), "web");
    assert_eq!((&id["sub"], &id["typ"]), (&access["sub"], &json!("ID")));
}

#[test]
fn a_tampered_token_does_not_verify() {
    let issuer = StrictIssuer::new();
    let tokens = issuer.log_in("alice");
    let other = issuer.log_in("bob");
    let (head, _) = text(&tokens, "access_token").rsplit_once('.').unwrap();
    let (_, signature) = text(&other, "access_token").rsplit_once('.').unwrap();
    let jwks = issuer.handle(get_request(&issuer.jwks_url()));
    let jwks: JwkSet = serde_json::from_slice(jwks.body()).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&["account"]);
    let key = DecodingKey::from_jwk(&jwks.keys[0]).unwrap();
    assert!(decode::<Value>(format!("{head}.{signature}"), &key, &validation).is_err());
}

#[test]
fn opaque_tokens_are_not_jwts_and_live_by_the_same_rules() {
    let issuer = StrictIssuer::builder()
        .opaque_access_tokens(true)
        .opaque_refresh_tokens(true)
        .without_id_tokens()
        .build();
    let tokens = issuer.log_in("alice");
    assert!(!text(&tokens, "access_token").contains('.'));
    assert!(!text(&tokens, "refresh_token").contains('.'));
    assert!(tokens.get("id_token").is_none());
    assert!(issuer.is_access_token_live(text(&tokens, "access_token")));
    assert_eq!(refresh(&issuer, text(&tokens, "refresh_token")).0, 200);
}

#[test]
fn every_secret_is_known_once() {
    let issuer = StrictIssuer::builder().access_token_lifetime(Duration::from_secs(5)).build();
    let tokens = issuer.log_in("alice");
    let (_, new) = refresh(&issuer, text(&tokens, "refresh_token"));
    let secrets = issuer.every_secret();
    for answer in [&tokens, &new] {
        for field in ["access_token", "refresh_token", "id_token"] {
            assert!(secrets.iter().any(|secret| secret == text(answer, field)));
        }
    }
    assert_eq!(secrets.iter().collect::<HashSet<_>>().len(), 6);
    let shown = format!("{issuer:?}");
    assert!(!secrets.iter().any(|secret| shown.contains(secret)));
}

#[test]
fn discovery_names_the_endpoints() {
    let issuer = StrictIssuer::builder().issuer_url("http://kc.example/auth/realms/shop/").build();
    let (status, found) = answer(&issuer.handle(get_request(&issuer.discovery_url())));
    assert_eq!(status, 200);
    assert_eq!(found["issuer"], "http://kc.example/auth/realms/shop");
    assert_eq!(found["token_endpoint"], json!(issuer.token_url()));
    assert_eq!(found["revocation_endpoint"], json!(issuer.revocation_url()));
    assert_eq!(found["jwks_uri"], json!(issuer.jwks_url()));
}
