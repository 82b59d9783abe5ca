//! A page fires many calls just after its access token has expired: at real providers, on real
//! stores, over TCP.

use support::{
    providers::{Browser, Provider, Refreshes},
    stores,
};

use crate::app::{App, Reply};

const EXPIRIES: usize = 3;

/// Three expiries in a row, each met by `callers` requests at once.
async fn one_refresh_for_all(app: App, provider: Provider, callers: usize) {
    let user = provider.new_user().await;
    let visitor = app.log_in(&Browser::new().log_in(&provider, &user).await).await;

    for expiry in 1..=EXPIRIES {
        app.expire();
        let replies = app.storm(&visitor, callers).await;

        let newest = newest_token(&app);
        let served_the_newest =
            |reply: &&Reply| reply.status.as_u16() == 200 && reply.body == newest;
        assert_eq!(replies.iter().filter(served_the_newest).count(), callers, "expiry {expiry}");
        assert_eq!(provider.refreshes(&user).await, Refreshes { granted: expiry, refused: 0 });
        assert!(
            provider.is_live(&newest).await,
            "the provider takes the newest token after expiry {expiry}"
        );
    }

    let reply = visitor.token().await;
    assert_eq!(
        (reply.status.as_u16(), reply.body),
        (200, newest_token(&app)),
        "the session is alive"
    );
    app.expire();
    let reply = visitor.token().await;
    assert_eq!(reply.status.as_u16(), 200, "the newest refresh token is good");
    assert_eq!(provider.refreshes(&user).await, Refreshes { granted: EXPIRIES + 1, refused: 0 });
}

/// The same page before a middleware that refreshes in every request.
async fn every_request_refreshes_and_the_login_is_lost(provider: Provider) {
    let app = App::naive(&provider, stores::memory().await).await;
    let user = provider.new_user().await;
    let visitor = app.log_in(&Browser::new().log_in(&provider, &user).await).await;
    assert_eq!(visitor.token().await.status.as_u16(), 200, "it works until the token expires");

    app.expire();
    app.storm_of_refreshes(&visitor, 50).await;

    let refreshes = provider.refreshes(&user).await;
    assert_eq!(refreshes.granted + refreshes.refused, 50);
    assert!(refreshes.refused > 0, "{refreshes:?}");
    app.expire();
    assert_eq!(visitor.token().await.status.as_u16(), 401, "logged out");
}

fn newest_token(app: &App) -> String {
    let answers = app.gate.seen().tokens;
    let newest = answers.last().and_then(|answer| answer["access_token"].as_str());
    newest.expect("the provider has granted a refresh").to_owned()
}

macro_rules! storms {
    ($($name:ident: $app:ident at $provider:ident on $store:ident, $needs:literal;)*) => {$(
        mod $name {
            use super::*;

            async fn app(provider: &Provider) -> App {
                App::$app(provider, stores::$store().await).await
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = $needs]
            async fn fifty_callers_share_one_refresh() {
                let provider = Provider::$provider().await;
                one_refresh_for_all(app(&provider).await, provider, 50).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = $needs]
            async fn five_hundred_callers_share_one_refresh() {
                let provider = Provider::$provider().await;
                one_refresh_for_all(app(&provider).await, provider, 500).await;
            }
        }
    )*};
}

storms! {
    keycloak_and_memory: ours at keycloak on memory,
        "needs Keycloak: see tests/services/run";
    keycloak_and_sqlite: ours at keycloak on sqlite,
        "needs Keycloak: see tests/services/run";
    keycloak_and_redis: ours at keycloak on redis,
        "needs Keycloak and Redis: see tests/services/run";
    keycloak_and_postgres: ours at keycloak on postgres,
        "needs Keycloak and PostgreSQL: see tests/services/run";
    keycloak_and_memory_sealed: sealed at keycloak on memory,
        "needs Keycloak: see tests/services/run";
    keycloak_and_sqlite_sealed: sealed at keycloak on sqlite,
        "needs Keycloak: see tests/services/run";
    keycloak_and_redis_sealed: sealed at keycloak on redis,
        "needs Keycloak and Redis: see tests/services/run";
    keycloak_and_postgres_sealed: sealed at keycloak on postgres,
        "needs Keycloak and PostgreSQL: see tests/services/run";
    oidc_provider_and_memory: ours at oidc_provider on memory,
        "needs oidc-provider: see tests/services/run";
    oidc_provider_and_redis: ours at oidc_provider on redis,
        "needs oidc-provider and Redis: see tests/services/run";
    oidc_provider_and_postgres: ours at oidc_provider on postgres,
        "needs oidc-provider and PostgreSQL: see tests/services/run";
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Keycloak: see tests/services/run"]
async fn naive_middleware_loses_the_login_at_keycloak() {
    every_request_refreshes_and_the_login_is_lost(Provider::keycloak().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs oidc-provider: see tests/services/run"]
async fn naive_middleware_loses_the_login_at_oidc_provider() {
    every_request_refreshes_and_the_login_is_lost(Provider::oidc_provider().await).await;
}
