//! The logout, here and at the provider.

use http::Response;
use serde_json::Value;
use tower_token_refresh::testing::Endpoint;

use crate::{browser::location, world::World};

#[tokio::test]
async fn a_user_is_logged_out_here_and_at_the_provider() {
    let world = World::new().await;
    let browser = world.logged_in().await;
    let token = browser.access_token().await;
    let session = browser.cookie("session").unwrap();
    let issuer = world.issuer.issuer();
    assert!(issuer.session_alive(&token));

    let response = browser.post("/auth/logout").await;
    assert_eq!(response.status(), 303);
    let to = url::Url::parse(&location(&response)).unwrap();
    assert!(to.as_str().starts_with(&issuer.url_of(Endpoint::EndSession)));
    let field = |name: &str| {
        to.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    assert_eq!(field("client_id").as_deref(), Some("web"));
    assert_eq!(field("post_logout_redirect_uri"), Some(format!("{}/?logged_out", world.base)));
    assert!(field("id_token_hint").is_some_and(|hint| issuer.every_secret().contains(&hint)));

    assert_eq!(browser.visit_provider(&response).await, "/?logged_out");
    assert!(!issuer.session_alive(&token));
    assert_eq!(browser.cookie("session"), None, "the cookie is removed");
    browser.set_cookie("session", &session);
    assert_eq!(browser.api_status().await, 401, "and its session is gone");
    assert!(browser.get("/").await.text().await.unwrap().contains("not logged in"));
}

#[tokio::test]
async fn a_get_does_not_log_out() {
    let world = World::new().await;
    let browser = world.logged_in().await;
    assert_eq!(browser.get("/auth/logout").await.status(), 405);
    assert_eq!(browser.api_status().await, 200);
}

#[tokio::test]
async fn a_log_out_of_nobody_leads_home() {
    let world = World::new().await;
    let response = world.browser().post("/auth/logout").await;
    assert_eq!(
        (response.status().as_u16(), location(&response)),
        (303, format!("{}/?logged_out", world.base))
    );
}

#[tokio::test]
async fn a_provider_without_an_end_session_endpoint_keeps_nobody_logged_in() {
    let without = |issuer: &tower_token_refresh::testing::StrictIssuer| {
        let found = issuer
            .handle(http::Request::get(issuer.discovery_url()).body(bytes::Bytes::new()).unwrap());
        let mut document: Value = serde_json::from_slice(found.body()).unwrap();
        assert!(document.as_object_mut().unwrap().remove("end_session_endpoint").is_some());
        let answer = Response::builder().status(200).body(document.to_string().into()).unwrap();
        issuer.answer_next_at(Endpoint::Discovery, answer);
    };
    let world = World::setup().provider(without).start().await;
    let browser = world.logged_in().await;
    let response = browser.post("/auth/logout").await;
    assert_eq!(
        (response.status().as_u16(), location(&response)),
        (303, format!("{}/?logged_out", world.base))
    );
    assert_eq!(browser.api_status().await, 401);
}

#[tokio::test]
async fn a_provider_that_is_down_keeps_nobody_logged_in() {
    let world = World::new().await;
    let browser = world.logged_in().await;
    world.issuer.issuer().set_down(true);
    assert_eq!(browser.post("/auth/logout").await.status(), 303);
    assert_eq!(browser.api_status().await, 401);
}
