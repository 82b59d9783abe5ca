//! At real providers: the caller that started a refresh goes away, and a logout comes while one is
//! under way.

use support::{
    providers::{Browser, Provider, Refreshes},
    stores,
};

use crate::app::{App, replies};

/// The provider has taken the refresh token and answered, and the answer is on its way, when the
/// first caller's connection closes.
async fn the_leader_disconnects_and_nobody_else_notices(provider: Provider) {
    let app = App::ours(&provider, stores::memory().await).await;
    let user = provider.new_user().await;
    let visitor = app.log_in(&Browser::new().log_in(&provider, &user).await).await;
    app.expire();
    app.gate.close();

    let leader = visitor.ask_alone();
    app.gate.until(|seen| seen.tokens.len() == 1).await;
    let arrived = app.arrivals.arrived_so_far();
    let others = (0..49).map(|_| visitor.ask()).collect();
    app.arrivals.until_arrived(arrived + 49).await;
    leader.abort();
    app.arrivals.until_abandoned(1).await;
    app.gate.open();

    for reply in replies(others).await {
        assert_eq!(reply.status.as_u16(), 200);
        assert!(provider.is_live(&reply.body).await);
    }
    assert_eq!(provider.refreshes(&user).await, Refreshes { granted: 1, refused: 0 });
    app.expire();
    assert_eq!(visitor.token().await.status.as_u16(), 200, "the newest refresh token was kept");
}

/// Log out while the provider's answer is on its way: whoever waits is logged out, and what was
/// brought is dead at the provider.
async fn a_log_out_during_the_refresh_leaves_nothing_alive(provider: Provider) {
    let app = App::ours(&provider, stores::memory().await).await;
    let user = provider.new_user().await;
    let first = Browser::new().log_in(&provider, &user).await;
    let visitor = app.log_in(&first).await;
    app.expire();
    app.gate.close();
    let waiting = visitor.ask();
    app.gate.until(|seen| seen.tokens.len() == 1).await;

    let leaving = {
        let visitor = visitor.clone();
        tokio::spawn(async move { visitor.log_out().await })
    };
    app.gate.until(|seen| seen.revocations >= 1).await;
    app.gate.open();
    assert_eq!(leaving.await.unwrap().status.as_u16(), 200);

    assert_eq!(waiting.await.unwrap().status.as_u16(), 401);
    assert_eq!(visitor.token().await.status.as_u16(), 401, "it does not come back");
    app.gate.until(|seen| seen.revocations >= 2).await;
    let brought = &app.gate.seen().tokens[0];
    for set in [&first, brought] {
        assert!(!provider.is_live(set["access_token"].as_str().unwrap()).await);
        let refreshed = provider.refresh(set["refresh_token"].as_str().unwrap()).await;
        assert_eq!((refreshed.status.as_u16(), refreshed.text("error")), (400, "invalid_grant"));
    }
}

macro_rules! at {
    ($($name:ident: $provider:ident, $needs:literal;)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = $needs]
            async fn the_leader_disconnects_and_nobody_else_notices() {
                let provider = Provider::$provider().await;
                super::the_leader_disconnects_and_nobody_else_notices(provider).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = $needs]
            async fn a_log_out_during_the_refresh_leaves_nothing_alive() {
                let provider = Provider::$provider().await;
                super::a_log_out_during_the_refresh_leaves_nothing_alive(provider).await;
            }
        }
    )*};
}

at! {
    keycloak: keycloak,
        "needs Keycloak: see tests/services/run";
    oidc_provider: oidc_provider,
        "needs oidc-provider: see tests/services/run";
}
