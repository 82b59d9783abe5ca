//! What the provider's documents and tokens say, and a login must heed.

use std::time::Duration;

use serde_json::{Value, json};
use tower_token_refresh::testing::StrictIssuer;

use crate::{
    browser::location,
    world::{World, edit_claims, edited_document},
};

/// The ID token of the next answer with other claims, well signed.
fn edit_next_id_token(issuer: &StrictIssuer, edit: impl FnOnce(&mut Value) + Send + 'static) {
    let signer = issuer.clone();
    issuer.edit_next(move |answer| edit_claims(&signer, answer, edit));
}

#[tokio::test]
async fn a_provider_that_always_names_itself_must_name_itself() {
    let names = |document: &mut Value| {
        document["authorization_response_iss_parameter_supported"] = json!(true);
    };
    let world = World::setup().provider(edited_document(names)).start().await;
    let browser = world.browser();
    let callback = browser.until_callback("/").await;
    let (before, _) = callback.split_once("&iss=").expect("it names itself");
    assert_eq!(browser.get(before).await.status(), 400);
    assert_eq!(world.issuer().token_requests(), 0);

    let callback = browser.until_callback("/").await;
    assert_eq!(browser.get(&callback).await.status(), 303);
}

#[tokio::test]
async fn another_provider_may_leave_its_name_out() {
    let names = |document: &mut Value| {
        document.as_object_mut().unwrap().remove("authorization_response_iss_parameter_supported");
    };
    let world = World::setup().provider(edited_document(names)).start().await;
    let browser = world.browser();
    let callback = browser.until_callback("/").await;
    let (before, _) = callback.split_once("&iss=").expect("it names itself");
    assert_eq!(browser.get(before).await.status(), 303);
}

#[tokio::test]
async fn a_document_without_a_place_to_log_in_is_a_wrong_setting() {
    let without = |document: &mut Value| {
        document.as_object_mut().unwrap().remove("authorization_endpoint");
    };
    let world = World::setup().provider(edited_document(without)).start().await;
    assert_eq!(world.browser().get("/auth/login").await.status(), 500);
}

#[tokio::test]
async fn an_old_password_is_not_enough_where_max_age_was_asked_for() {
    for (auth_time, status) in [(Some(-1000), 502), (None, 502), (Some(-60), 303), (Some(0), 303)] {
        let world = World::setup().routes(|routes| routes.param("max_age", "60")).start().await;
        let browser = world.browser();
        let begun = browser.get("/auth/login?max_age=100000").await;
        assert!(location(&begun).ends_with("max_age=60"), "a link cannot ask for less");
        let callback = browser.visit_provider(&begun).await;
        edit_next_id_token(world.issuer(), move |claims| {
            let now = claims["iat"].as_i64().expect("a time");
            claims["auth_time"] = auth_time.map_or(Value::Null, |ago| json!(now + ago));
        });
        assert_eq!(browser.get(&callback).await.status(), status, "{auth_time:?}");
    }
}

#[tokio::test]
async fn a_link_may_ask_for_a_step_up() {
    let world = World::new().await;
    let browser = world.browser();
    let link = "/auth/login?prompt=login&login_hint=bob&max_age=0&acr_values=mfa&ui_locales=de&scope=admin&redirect_uri=https://evil.example";
    let to = url::Url::parse(&location(&browser.get(link).await)).unwrap();
    let all = |name: &str| -> Vec<String> {
        to.query_pairs()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
            .collect()
    };
    for (name, value) in [
        ("prompt", "login"),
        ("login_hint", "bob"),
        ("max_age", "0"),
        ("acr_values", "mfa"),
        ("ui_locales", "de"),
    ] {
        assert_eq!(all(name), [value], "{name}");
    }
    assert_eq!(all("scope"), ["openid profile email"]);
    assert_eq!(all("redirect_uri"), [format!("{}/auth/callback", world.base)]);

    for link in ["/auth/login?max_age=soon", &format!("/auth/login?login_hint={}", "a".repeat(513))]
    {
        assert_eq!(browser.get(link).await.status(), 400, "{link}");
    }
}

#[tokio::test]
async fn tokens_can_be_bound_to_a_key_of_the_login() {
    let world = World::setup()
        .builder(|builder| builder.requires_dpop())
        .routes(|routes| routes.dpop())
        .start()
        .await;
    let browser = world.logged_in().await;
    assert_eq!(browser.api_status().await, 200);
    world.clock.advance(Duration::from_secs(301));
    assert_eq!(browser.api_status().await, 200, "the key is kept for the refresh");
}

#[tokio::test]
async fn a_sender_of_a_wide_answer_is_cut_off() {
    let world = World::new().await;
    let browser = world.browser();
    let callback = browser.until_callback("/").await;
    world.issuer().edit_next(|answer| answer["padding"] = json!("a".repeat(2 * 1024 * 1024)));
    assert_eq!(browser.get(&callback).await.status(), 502);
    assert_eq!(browser.api_status().await, 401);
}

#[tokio::test]
async fn a_document_without_keys_logs_nobody_in() {
    let without = |document: &mut Value| drop(document.as_object_mut().unwrap().remove("jwks_uri"));
    let world = World::setup().provider(edited_document(without)).start().await;
    let browser = world.browser();
    let callback = browser.until_callback("/").await;
    assert_eq!(browser.get(&callback).await.status(), 500);
    assert_eq!(browser.api_status().await, 401);
}
