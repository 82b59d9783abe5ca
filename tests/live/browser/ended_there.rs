//! The login ends at the provider: the next page here asks to log in again.

use std::time::Duration;

use axum::Router;
use support::providers::{Provider, Refreshes};
use tower_token_refresh::Clock;

use super::{
    at_both_providers,
    stage::{LOG_IN, LOG_OUT, Stage},
};
use crate::chromium::until;

const NO_REFRESH: Refreshes = Refreshes { granted: 0, refused: 0 };

at_both_providers! {
    a_user_who_logs_out_there_is_logged_out_here;
    a_bff_that_nobody_tells_learns_it_at_the_next_refresh;
}

/// By back-channel logout.
async fn a_user_who_logs_out_there_is_logged_out_here(provider: Provider) {
    let stage = Stage::told_of_log_outs(&provider).await;
    stage.log_in().await;

    stage.log_out_there().await;

    until_nobody_is_logged_in(&stage).await;
    assert_eq!(stage.provider.refreshes(&stage.user).await, NO_REFRESH);
    assert_asked_to_log_in(&stage, "You are not logged in.").await;
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Keycloak and Chromium: see tests/services/run"]
async fn a_user_whom_an_administrator_logs_out_is_logged_out_here() {
    let stage = Stage::told_of_log_outs(&Provider::keycloak().await).await;
    stage.log_in().await;

    stage.provider.admin().log_user_out(&stage.user.subject).await;

    until_nobody_is_logged_in(&stage).await;
    assert_eq!(stage.provider.refreshes(&stage.user).await, NO_REFRESH);
    assert_asked_to_log_in(&stage, "You are not logged in.").await;
    stage.close().await;
}

async fn a_bff_that_nobody_tells_learns_it_at_the_next_refresh(provider: Provider) {
    let stage = Stage::at(provider, Router::new()).await;
    stage.log_in().await;
    let expires_at = httpdate::parse_http_date(&stage.text("#expires").await).expect("a date");

    stage.log_out_there().await;

    // Whole seconds. Nothing is asked for before: the page that has no token any more says so.
    let clock = Clock::system();
    let end = expires_at + Duration::from_secs(1);
    until("the end of the token", async || clock.now() > end).await;
    stage.open("/").await;
    let refused = Refreshes { granted: 0, refused: 1 };
    assert_eq!(stage.provider.refreshes(&stage.user).await, refused);
    assert_asked_to_log_in(&stage, "Your login has ended.").await;
    stage.close().await;
}

/// The provider need not have told it before it answered.
async fn until_nobody_is_logged_in(stage: &Stage) {
    until("the end of the login", async || {
        stage.open("/").await;
        !stage.there_is(LOG_OUT).await
    })
    .await;
}

/// At the home page, and where a page of the application was to be: the provider asks who it is.
async fn assert_asked_to_log_in(stage: &Stage, why: &str) {
    assert!(stage.text("main").await.contains(why), "{}", stage.text("main").await);
    assert!(stage.there_is(LOG_IN).await);
    stage.open("/api/page").await;
    stage.enter().await;
    stage.browser.wait().for_url(&stage.url("/api/page")).await.expect("back at the page");
    assert!(stage.provider.is_live(&stage.thirty_calls().await).await);
}
