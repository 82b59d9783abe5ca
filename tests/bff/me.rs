//! What a page's script learns of its user.

use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::{Value, json};
use support::tab::claims_of;

use crate::{browser::Browser, world::World};

async fn me(browser: &Browser) -> Value {
    let response = browser.get("/auth/me").await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.headers()["content-type"], "application/json");
    response.json().await.expect("JSON")
}

async fn assert_nobody(response: Response) {
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(response.json::<Value>().await.expect("JSON")["status"], 401);
}

#[tokio::test]
async fn it_names_the_user_the_roles_here_and_when_the_token_expires() {
    let world = World::new().await;
    let browser = world.logged_in().await;
    let exp = claims_of(&browser.access_token().await)["exp"].as_u64().unwrap();
    let expires_at = std::time::UNIX_EPOCH + Duration::from_secs(exp);
    let expected = |expires_in: u64| {
        json!({
            "name": "alice",
            "roles": ["offline_access", "user", "reader"],
            "expires_at": httpdate::fmt_http_date(expires_at),
            "expires_in": expires_in,
        })
    };
    assert_eq!(me(&browser).await, expected(300));
    world.clock.advance(Duration::from_secs(100));
    assert_eq!(me(&browser).await, expected(200));
}

/// The issuer knows one client only, so the roles at another one come by an edit of its answer.
#[tokio::test]
async fn roles_at_other_clients_are_not_told() {
    let world = World::setup()
        .provider(|issuer| {
            let other = json!({ "resource_access": { "billing": { "roles": ["admin"] } } });
            let token = issuer.sign_jwt(json!({}), &other);
            issuer.edit_next(move |answer| answer["access_token"] = token.into());
        })
        .start()
        .await;
    assert_eq!(me(&world.logged_in().await).await["roles"], json!([]));
}

#[tokio::test]
async fn of_an_opaque_token_no_role_is_told() {
    let world = World::setup()
        .provider(|issuer| issuer.edit_next(|answer| answer["access_token"] = "opaque".into()))
        .start()
        .await;
    let me = me(&world.logged_in().await).await;
    assert_eq!(
        (&me["name"], &me["roles"], &me["expires_in"]),
        (&"alice".into(), &json!([]), &300.into())
    );
}

#[tokio::test]
async fn nobody_gets_a_401_and_no_redirect() {
    let world = World::new().await;
    let browser = world.browser();
    assert_nobody(browser.get("/auth/me").await).await;
    let page = browser.request(Method::GET, "/auth/me").header("accept", "text/html");
    assert_nobody(browser.send(page.header("sec-fetch-mode", "navigate")).await).await;

    let browser = world.logged_in().await;
    let session = browser.cookie("session").unwrap();
    browser.post("/auth/logout").await;
    browser.set_cookie("session", &session);
    assert_nobody(browser.get("/auth/me").await).await;
}

#[tokio::test]
async fn in_an_outage_it_still_names_the_user() {
    let world = World::new().await;
    let browser = world.logged_in().await;
    world.clock.advance(Duration::from_secs(300));
    world.issuer.issuer().set_down(true);
    let unknown = json!({ "name": "alice", "roles": null, "expires_at": null, "expires_in": null });
    assert_eq!(me(&browser).await, unknown);
    world.issuer.issuer().set_down(false);
    assert_eq!(browser.api_status().await, 200);
    assert_eq!(me(&browser).await["expires_in"], 300);
}

/// The refresh that it asks for may tell that the login is over.
#[tokio::test]
async fn a_login_that_has_ended_at_the_provider_is_nobodys() {
    let world = World::new().await;
    let browser = world.logged_in().await;
    world.issuer.issuer().end_session("alice");
    world.clock.advance(Duration::from_secs(300));
    assert_nobody(browser.get("/auth/me").await).await;
}
