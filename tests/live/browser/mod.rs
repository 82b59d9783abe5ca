//! `examples/bff` in a real browser, at a real Keycloak: log in, three expiries under a page with
//! thirty parallel calls, log out, and back to the page by way of another login.

use std::time::Duration;

use axum::{Router, response::Html, routing::get};
use fantoccini::{Client, Locator};
use serde_json::{Value, json};
use support::{
    bff::{self, Running},
    providers::{Provider, Refreshes, User},
};
use tokio::time::sleep;

use crate::{api, chromium};

/// A client of the test realm whose access tokens live for seconds.
const CLIENT_ID: &str = "web-short";
const CALLS: usize = 30;

/// What an application brings to the browser: a page that asks for thirty things at once.
const PAGE: &str = "<!doctype html><title>Orders</title><script>
const call = () => fetch('/api/orders').then(async (answer) => [answer.status, await answer.text()]);
const calls = (count) => Promise.all(Array.from({ length: count }, call));
</script>";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Keycloak and Chromium: see tests/services/run"]
async fn a_user_logs_in_stays_logged_in_over_three_expiries_and_logs_out() {
    let provider = Provider::keycloak().await;
    let user = provider.new_user().await;
    let program = bff::build(&[]);
    let api = api::serve(Router::new().route("/page", get(async || Html(PAGE)))).await;
    let bff = Running::start(&program, &provider.issuer_url, CLIENT_ID, &api, &[]).await;
    let browser = chromium::open().await;

    log_in(&browser, &bff, &user).await;
    assert_eq!(text(&browser, "#name").await, user.name);

    browser.goto(&format!("{}/api/page", bff.url)).await.unwrap();
    let mut token = the_token_of(&thirty_calls(&browser).await);
    for expiry in 1..=3 {
        until_dead(&provider, &token).await;
        let newest = the_token_of(&thirty_calls(&browser).await);
        assert_ne!(newest, token);
        assert!(provider.is_live(&newest).await);
        assert_eq!(provider.refreshes(&user).await, Refreshes { granted: expiry, refused: 0 });
        token = newest;
    }

    browser.goto(&bff.url).await.unwrap();
    browser.find(Locator::Id("logout")).await.unwrap().click().await.unwrap();
    browser.wait().for_element(Locator::LinkText("Log in")).await.unwrap();
    assert!(
        browser.current_url().await.unwrap().as_str().starts_with(&bff.url),
        "back from the provider"
    );
    assert!(!provider.is_live(&token).await, "the provider has ended the session");
    browser.goto(&format!("{}/api/page", bff.url)).await.unwrap();
    enter(&browser, &user).await;
    browser
        .wait()
        .for_url(&format!("{}/api/page", bff.url).parse().unwrap())
        .await
        .expect("back at the page");
    browser.close().await.unwrap();
}

async fn log_in(browser: &Client, bff: &Running, user: &User) {
    browser.goto(&bff.url).await.unwrap();
    browser.find(Locator::LinkText("Log in")).await.unwrap().click().await.unwrap();
    enter(browser, user).await;
    browser.wait().for_element(Locator::Id("logout")).await.unwrap();
}

/// Says at the provider who it is.
async fn enter(browser: &Client, user: &User) {
    let name = browser.wait().for_element(Locator::Id("username")).await.unwrap();
    name.send_keys(&user.name).await.unwrap();
    browser.find(Locator::Id("password")).await.unwrap().send_keys(&user.name).await.unwrap();
    browser.find(Locator::Id("kc-login")).await.unwrap().click().await.unwrap();
}

async fn text(browser: &Client, css: &str) -> String {
    browser.find(Locator::Css(css)).await.unwrap().text().await.unwrap()
}

async fn thirty_calls(browser: &Client) -> Vec<Value> {
    let script =
        "const [count, done] = arguments; calls(count).then(done, (error) => done(String(error)));";
    let answers = browser.execute_async(script, vec![json!(CALLS)]).await.unwrap();
    answers.as_array().unwrap_or_else(|| panic!("the page failed: {answers}")).clone()
}

/// The one token with which the API was called in all of them.
fn the_token_of(answers: &[Value]) -> String {
    assert_eq!(answers.len(), CALLS);
    let first = answers[0][1].as_str().expect("the API answers with the token").to_owned();
    assert!(first.len() > 100, "a token");
    for answer in answers {
        assert_eq!(answer, &json!([200, first]));
    }
    first
}

/// Waits as long as the provider takes the token: it is its clock that counts here.
async fn until_dead(provider: &Provider, token: &str) {
    while provider.is_live(token).await {
        sleep(Duration::from_millis(200)).await;
    }
}
