//! The provider as the refresher uses it, over an in-memory transport.

mod admission;
mod before_attempt;
mod counters;
mod extras;
mod retry;

use std::time::{Duration, SystemTime};

use serde_json::json;

use super::*;
use crate::endpoint::{
    TokenEndpoint, Transport,
    test_support::{
        Hand, SECRET, Script, answer, endpoint, everything_printed, refresh_token, tokens,
        tokio_now,
    },
    transport::{BoxError, NotSent},
};

#[tokio::test]
async fn a_refresh_is_one_form_post() {
    let script = Script::default();
    let transport = script.answering(|_, _| answer(200, tokens().to_string()));

    let hand = Hand::default();
    hand.advance(Duration::from_secs(7));
    let provider = endpoint(transport).validate().unwrap().with_clock(Clock::new(hand));
    // In a spawned task, like a flight.
    let set = tokio::spawn(async move { provider.refresh_always(&"r t+&".into()).await })
        .await
        .unwrap()
        .unwrap();

    assert_eq!(set.access_token.expose(), SECRET);
    assert_eq!(
        set.obtained_at,
        Some(SystemTime::UNIX_EPOCH + Duration::from_secs(7)),
        "when it was sent"
    );
    let [request] = &script.sent()[..] else { panic!("one request") };
    assert_eq!(
        (request.method().as_str(), request.uri().to_string().as_str()),
        ("POST", "https://id.example/token?tenant=1")
    );
    assert_eq!(request.headers()["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(request.headers()["accept"], "application/json");
    assert!(request.headers()["authorization"].is_sensitive());
    assert_eq!(request.body(), "grant_type=refresh_token&refresh_token=r+t%2B%26");
}

#[tokio::test]
async fn a_public_client_says_who_it_is_in_the_body() {
    let script = Script::default();
    let transport = script.answering(|_, _| answer(200, tokens().to_string()));
    let endpoint = TokenEndpoint::new("https://id.example/token", ClientAuth::none("app"))
        .transport(transport);
    endpoint.validate().unwrap().refresh_always(&"rt".into()).await.unwrap();
    assert_eq!(script.sent()[0].body(), "grant_type=refresh_token&refresh_token=rt&client_id=app");
    assert!(!script.sent()[0].headers().contains_key("authorization"));
}

#[tokio::test]
async fn a_revocation_names_the_kind_of_token() {
    let script = Script::default();
    let transport = script.answering(|_, turn| match turn {
        0 | 1 => answer(200, ""),
        2 => answer(503, ""),
        _ => answer(400, r#"{"error":"unsupported_token_type"}"#),
    });
    let provider =
        endpoint(transport).revocation_url("https://id.example/revoke").validate().unwrap();
    let revoke = |hint| {
        let provider = provider.clone();
        async move { provider.revoke(&"t".into(), hint).await }
    };

    assert_eq!(revoke(TokenTypeHint::RefreshToken).await.unwrap(), Revocation::Revoked);
    assert_eq!(revoke(TokenTypeHint::AccessToken).await.unwrap(), Revocation::Revoked);
    assert!(matches!(
        revoke(TokenTypeHint::AccessToken).await.unwrap_err().kind(),
        Kind::Unavailable { .. }
    ));
    let refused = revoke(TokenTypeHint::AccessToken).await.unwrap_err();
    assert_eq!(refused.kind(), &Kind::Rejected { code: "unsupported_token_type" });
    assert_eq!(script.sent()[0].uri().path(), "/revoke");
    assert_eq!(script.sent()[0].body(), "token=t&token_type_hint=refresh_token");
    assert_eq!(script.sent()[1].body(), "token=t&token_type_hint=access_token");
}

#[tokio::test]
async fn without_a_revocation_endpoint_nothing_is_sent() {
    let script = Script::default();
    let provider = endpoint(script.answering(|_, _| answer(200, ""))).validate().unwrap();
    let outcome = provider.revoke(&refresh_token(), TokenTypeHint::RefreshToken).await.unwrap();
    assert_eq!(outcome, Revocation::NotSupported);
    assert!(script.sent().is_empty());
}

#[tokio::test]
async fn nothing_that_can_be_printed_shows_a_secret() {
    let script = Script::default();
    let transport = script.answering(|_, turn| match turn {
        0 => answer(400, json!({"error": SECRET, "error_description": SECRET}).to_string()),
        1 => {
            answer(400, json!({"error": "invalid_grant", "error_description": SECRET}).to_string())
        }
        2 => answer(200, json!({"access_token": SECRET, "token_type": SECRET}).to_string()),
        3 => answer(200, format!("<html>{SECRET}")),
        _ => answer(500, SECRET),
    });
    let url = format!("https://id.example/token?key={SECRET}");
    let endpoint = TokenEndpoint::new(url, ClientAuth::post("app", SECRET)).transport(transport);
    assert!(!format!("{endpoint:?} {:?}", endpoint.validate().unwrap()).contains(SECRET));
    let provider = endpoint.validate().unwrap();
    for turn in 0..5 {
        let error = provider.refresh_always(&refresh_token()).await.unwrap_err();
        assert!(!everything_printed(&error).contains(SECRET), "turn {turn}: {error:?}");
    }
}

#[tokio::test]
async fn a_wrong_client_secret_names_the_client_and_the_setting() {
    for code in ["invalid_client", "unauthorized_client"] {
        let script = Script::default();
        let body = json!({ "error": code, "error_description": SECRET }).to_string();
        let transport = script.answering(move |_, _| answer(401, body.clone()));
        let provider =
            endpoint(transport).revocation_url("https://id.example/revoke").validate().unwrap();
        let refused = provider.refresh_always(&refresh_token()).await.unwrap_err();
        let hint = TokenTypeHint::RefreshToken;
        let not_revoked = provider.revoke(&refresh_token(), hint).await.unwrap_err();
        for error in [refused, not_revoked] {
            let message = error.to_string();
            assert!(message.contains("the client \"app\""), "{message}");
            assert!(message.contains("`ClientAuth::basic`"), "{message}");
            assert!(!everything_printed(&error).contains(SECRET));
        }
    }
}
