//! Log in, three expiries under a page with thirty parallel calls, log out, and back to the page by
//! way of another login.

use axum::Router;
use support::providers::{Provider, Refreshes};

use super::{at_both_providers, stage::Stage};

at_both_providers! {
    a_user_logs_in_stays_logged_in_over_three_expiries_and_logs_out;
}

async fn a_user_logs_in_stays_logged_in_over_three_expiries_and_logs_out(provider: Provider) {
    let stage = Stage::at(provider, Router::new()).await;
    let (provider, user) = (&stage.provider, &stage.user);
    stage.log_in().await;
    assert_eq!(stage.text("#name").await, user.name);

    stage.open("/api/page").await;
    let mut token = stage.thirty_calls().await;
    for expiry in 1..=3 {
        stage.until_dead(&token).await;
        let newest = stage.thirty_calls().await;
        assert_ne!(newest, token);
        assert!(provider.is_live(&newest).await);
        assert_eq!(provider.refreshes(user).await, Refreshes { granted: expiry, refused: 0 });
        token = newest;
    }

    stage.log_out().await;
    assert_eq!(stage.text("[role=status]").await, "You are logged out.");
    assert!(!provider.is_live(&token).await, "the provider has ended the session");
    stage.open("/api/page").await;
    stage.enter().await;
    stage.browser.wait().for_url(&stage.url("/api/page")).await.expect("back at the page");
    stage.close().await;
}
