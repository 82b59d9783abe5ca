//! The provider ends logins, by a token that it signs: no cookie and no header of a browser plays a
//! part.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::Value;

use crate::{
    browser::Browser,
    database::Database,
    world::{HTTPS, Setup, World},
};

pub(crate) const INDEX_KEY: &str = "aW5kZXgta2V5LWluZGV4LWtleS1pbmRleC1rZXktMDE=";

fn listening() -> Setup {
    World::setup().setting("INDEX_KEY", INDEX_KEY)
}

/// A request of the provider's: it is no browser.
pub(crate) fn from_provider(world: &World, form: &str) -> RequestBuilder {
    let url = format!("http://{}/auth/back-channel-logout", world.authority());
    let form_type = "application/x-www-form-urlencoded";
    reqwest::Client::new().post(url).header("content-type", form_type).body(form.to_owned())
}

async fn end_session(world: &World, sid: &str) -> Response {
    let token = world.issuer.issuer().logout_token(None, Some(sid));
    from_provider(world, &format!("logout_token={token}")).send().await.expect("an answer")
}

/// The provider's session that this browser's login belongs to.
async fn sid_of(browser: &Browser) -> String {
    let token = browser.access_token().await;
    let claims =
        BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1).expect("claims")).expect("base64url");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    claims["sid"].as_str().expect("a session").to_owned()
}

fn assert_not_kept(response: &Response) {
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert!(!response.headers().contains_key("set-cookie"));
}

#[tokio::test]
async fn the_login_it_names_is_over_and_the_other_browsers_lives() {
    let world = listening().start().await;
    let (browser, other) = (world.logged_in().await, world.logged_in().await);
    let answer = end_session(&world, &sid_of(&browser).await).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_not_kept(&answer);

    assert_eq!(browser.api_status().await, 401);
    assert!(browser.get("/").await.text().await.unwrap().contains("not logged in"));
    assert_eq!(other.api_status().await, 200);
    assert_eq!(world.issuer.issuer().refreshes(), 0, "without a request to the provider");
}

#[tokio::test]
async fn all_logins_of_a_user_end_at_once() {
    let world = listening().start().await;
    let (browser, other) = (world.logged_in().await, world.logged_in().await);
    let token = world.issuer.issuer().logout_token(Some("alice"), None);
    let answer = from_provider(&world, &format!("logout_token={token}")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!((browser.api_status().await, other.api_status().await), (401, 401));
}

/// A gateway between provider and application may add what it likes.
#[tokio::test]
async fn the_check_against_forged_forms_does_not_apply() {
    let world = listening().https().start().await;
    let browser = world.logged_in().await;
    let sid = sid_of(&browser).await;
    let token = world.issuer.issuer().logout_token(None, Some(&sid));
    for (origin, site) in
        [("https://id.example", "cross-site"), ("null", "same-site"), (HTTPS, "none")]
    {
        let garbage = from_provider(&world, "logout_token=x").header("origin", origin);
        let answer = garbage.header("sec-fetch-site", site).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{origin}");
    }
    let request = from_provider(&world, &format!("logout_token={token}"));
    let request =
        request.header("origin", "https://id.example").header("sec-fetch-site", "cross-site");
    assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(browser.api_status().await, 401);
}

#[tokio::test]
async fn garbage_ends_nothing() {
    let world = listening().start().await;
    let browser = world.logged_in().await;
    let token = world.issuer.issuer().logout_token(Some("alice"), None);
    let (signed, _) = token.rsplit_once('.').unwrap();
    let access_token = browser.access_token().await;
    for form in [
        String::new(),
        "logout_token=".to_owned(),
        "logout_token=a.b.c".to_owned(),
        format!("logout_token={signed}.AAAA"),
        format!("logout_token={access_token}"),
        format!("token={token}"),
    ] {
        let answer = from_provider(&world, &form).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{form}");
        assert_not_kept(&answer);
        assert_eq!(answer.text().await.unwrap(), r#"{"error":"invalid_request"}"#);
    }
    assert_eq!(browser.api_status().await, 200);
}

#[tokio::test]
async fn a_restart_forgets_nobody() {
    let store = Database::new();
    let mut world = listening().setting("DATABASE_URL", store.url()).start().await;
    let browser = world.logged_in().await;
    let (session, sid) = (browser.cookie("session").unwrap(), sid_of(&browser).await);

    world.restart(&[]).await;
    let browser = world.browser();
    browser.set_cookie("session", &session);
    assert_eq!(browser.api_status().await, 200);
    assert_eq!(end_session(&world, &sid).await.status(), StatusCode::OK);
    assert_eq!(browser.api_status().await, 401);
}

#[tokio::test]
async fn without_a_key_there_is_no_such_route() {
    let world = World::new().await;
    let browser = world.logged_in().await;
    assert_eq!(end_session(&world, &sid_of(&browser).await).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(browser.api_status().await, 200);
}
