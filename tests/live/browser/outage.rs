//! The way to the provider is cut: nobody is logged out by that, and whoever wants to log out can.

use std::time::Duration;

use fantoccini::Locator;
use serde_json::json;
use support::{providers::Provider, way::Way};
use tokio::time::timeout;

use super::{
    at_both_providers,
    stage::{LOG_IN, LOG_OUT, Stage},
};
use crate::chromium::{click, until};

/// With the seconds, or with the word that they are over.
const RETRY: &str = ".panel[data-over^='You can try again']";

at_both_providers! {
    an_outage_logs_nobody_out;
    a_user_logs_out_while_the_provider_is_silent;
}

async fn an_outage_logs_nobody_out(provider: Provider) {
    let way = Way::to(&provider.url("token_endpoint")).await;
    let stage = Stage::by_way_of(provider, &way).await;
    stage.log_in().await;

    way.refuse();
    until_the_page_of_an_outage(&stage).await;
    assert_eq!(stage.text("#name").await, stage.user.name);
    assert!(stage.text(".notice").await.contains("You are still logged in."));
    assert!(stage.text(RETRY).await.starts_with("You can try again"));
    assert_eq!(stage.status_of_me().await, 200, "who it is needs no provider");

    way.restore();
    until("the usual page", async || {
        click(&stage.browser, Locator::LinkText("Try again")).await;
        stage.there_is("#expires").await
    })
    .await;
    assert_eq!(stage.text("#name").await, stage.user.name);
    stage.open("/api/page").await;
    let token = stage.thirty_calls().await;
    assert!(stage.provider.is_live(&token).await);
    let refreshes = stage.provider.refreshes(&stage.user).await;
    assert!(refreshes.granted >= 1 && refreshes.refused == 0, "{refreshes:?}");
    stage.close().await;
}

async fn a_user_logs_out_while_the_provider_is_silent(provider: Provider) {
    let way = Way::to(&provider.url("token_endpoint")).await;
    let stage = Stage::by_way_of(provider, &way).await;
    stage.log_in().await;
    way.refuse();
    until_the_page_of_an_outage(&stage).await;
    let cookie = stage.browser.get_named_cookie("session").await.unwrap();

    way.swallow();
    // Two seconds are the limit, and fifteen that of a request to the provider; the rest is for a
    // browser on a busy machine.
    let answered = timeout(Duration::from_secs(8), async {
        click(&stage.browser, Locator::Css(LOG_OUT)).await;
        stage.browser.wait().for_url(&stage.url("/?logged_out")).await
    });
    answered.await.expect("it waits for the provider").expect("home, and not to the provider");
    assert_eq!(stage.text("[role=status]").await, "You are logged out.");
    stage.until_there(LOG_IN).await;
    assert!(stage.browser.get_named_cookie("session").await.is_err(), "the cookie is removed");

    stage.browser.add_cookie(cookie.clone()).await.unwrap();
    assert_eq!(stage.status_of_me().await, 401, "and its session is gone");
    way.restore();
    stage.browser.add_cookie(cookie).await.unwrap();
    assert_eq!(stage.status_of_me().await, 401, "for good");
    stage.close().await;
}

/// Comes when the access token is dead.
async fn until_the_page_of_an_outage(stage: &Stage) {
    until("the page of an outage", async || {
        stage.open("/").await;
        assert!(stage.there_is(LOG_OUT).await, "logged in all the time");
        stage.there_is(RETRY).await
    })
    .await;
    let script = "const [done] = arguments;
        fetch('/', { cache: 'no-store' })
            .then(({ status, headers }) => [status, Number(headers.get('retry-after')) > 0])
            .then(done, (error) => done(String(error)));";
    let answer = stage.browser.execute_async(script, vec![]).await.unwrap();
    assert_eq!(answer, json!([503, true]));
}
