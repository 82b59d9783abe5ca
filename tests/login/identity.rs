//! Who is logged in: known without the provider, and without the token store once it is known.

use std::time::Duration;

use serde_json::{Value, json};

use support::TokenOp;

use crate::world::{World, ask, edit_claims};

#[tokio::test]
async fn it_is_the_verified_id_token() {
    let world = World::new().await;
    let browser = world.logged_in().await;
    let who: Value = browser.get("/whoami").await.json().await.unwrap();
    assert_eq!(who["preferred_username"], "alice");
    assert_eq!(who["aud"], "web");
    assert!(who["nonce"].is_string(), "the ID token of the login itself");
}

#[tokio::test]
async fn an_outage_hides_nobody() {
    let world = World::new().await;
    let browser = world.logged_in().await;
    world.clock.advance(Duration::from_secs(301));
    world.issuer().set_down(true);
    let before = world.issuer().token_requests();
    assert_eq!(browser.get("/").await.text().await.unwrap(), "alice");
    assert_eq!(browser.api_status().await, 503);
    assert!(world.issuer().token_requests() > before, "only the API asked for a token");
    assert_eq!(browser.get("/").await.text().await.unwrap(), "alice");
}

#[tokio::test]
async fn an_expired_token_is_not_refreshed_for_it() {
    let world = World::new().await;
    let browser = world.logged_in().await;
    world.clock.advance(Duration::from_secs(301));
    let before = world.issuer().token_requests();
    for _ in 0..3 {
        assert_eq!(browser.get("/").await.text().await.unwrap(), "alice");
    }
    assert_eq!(world.issuer().token_requests(), before);
}

#[tokio::test]
async fn it_works_with_opaque_access_tokens() {
    let world = World::setup().builder(|builder| builder.opaque_access_tokens(true)).start().await;
    let browser = world.logged_in().await;
    assert_eq!(browser.get("/").await.text().await.unwrap(), "alice");
}

#[tokio::test]
async fn after_a_logout_it_is_nobody() {
    let world = World::new().await;
    let browser = world.logged_in().await;
    let session = browser.cookie("session").unwrap();
    browser.post("/auth/logout").await;
    browser.set_cookie("session", &session);
    assert_eq!(browser.get("/").await.text().await.unwrap(), "nobody");
    assert_eq!(browser.get("/whoami").await.status(), 401);
}

#[tokio::test]
async fn a_refreshed_id_token_tells_the_news() {
    let world = World::new().await;
    let browser = world.logged_in().await;
    world.clock.advance(Duration::from_secs(301));
    let issuer = world.issuer().clone();
    world.issuer().edit_next(move |answer| {
        edit_claims(&issuer, answer, |claims| {
            claims["preferred_username"] = json!("alice cooper");
        });
    });
    assert_eq!(browser.api_status().await, 200);
    assert_eq!(browser.get("/").await.text().await.unwrap(), "alice cooper");
}

#[tokio::test]
async fn a_process_that_knows_the_login_reads_nothing_and_another_one_reads_once() {
    let world = World::new().await;
    let browser = world.logged_in().await;
    let (loads, requests) = (world.tokens.calls(TokenOp::Load), world.issuer().token_requests());
    for _ in 0..3 {
        assert_eq!(browser.get("/").await.text().await.unwrap(), "alice");
    }
    assert_eq!(world.tokens.calls(TokenOp::Load), loads);

    let other = world.another_process();
    let cookie = format!("session={}", browser.cookie("session").unwrap());
    for _ in 0..3 {
        let answer = ask(&other, "/", &cookie).await;
        let body = axum::body::to_bytes(answer.into_body(), 100).await.unwrap();
        assert_eq!(&body[..], b"alice");
    }
    assert_eq!(world.tokens.calls(TokenOp::Load), loads + 1);
    assert_eq!(world.issuer().token_requests(), requests, "the provider is asked nothing");
}

#[tokio::test]
async fn a_token_store_that_is_down_hides_nobody_whom_this_process_knows() {
    let world = World::new().await;
    let browser = world.logged_in().await;
    world.tokens.refuse_everything(true);
    world.clock.advance(Duration::from_secs(61));
    assert_eq!(browser.get("/").await.text().await.unwrap(), "alice");
}

#[tokio::test]
async fn another_process_ends_it_within_a_minute() {
    let world = World::new().await;
    let browser = world.logged_in().await;
    let other = world.another_process();
    let cookie = format!("session={}", browser.cookie("session").unwrap());
    assert_eq!(ask(&other, "/end", &cookie).await.status(), 200);
    world.clock.advance(Duration::from_secs(61));
    assert_eq!(browser.get("/").await.text().await.unwrap(), "nobody");
}
