//! Who is logged in: known without the provider, and without the token store once it is known.

use std::time::Duration;

use serde_json::{Value, json};

use crate::world::World;

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
        let id_token = answer["id_token"].as_str().expect("an ID token");
        let mut claims = support::tab::claims_of(id_token);
        claims["preferred_username"] = json!("alice cooper");
        answer["id_token"] = json!(issuer.sign_jwt(json!({}), &claims));
    });
    assert_eq!(browser.api_status().await, 200);
    assert_eq!(browser.get("/").await.text().await.unwrap(), "alice cooper");
}
