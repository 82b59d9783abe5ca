//! Two logins in one browser share the provider's session. What happens to one of them must not
//! reach further than the provider takes it.

use support::{
    providers::{Browser, Provider, Refreshes, User},
    stores,
};
use tower_sessions::SessionStore;
use tower_token_refresh::tower_sessions;

use crate::app::{App, Visitor};

/// One user: two logins in one browser, a third in another.
struct Household {
    app: App,
    user: User,
    first: Visitor,
    second: Visitor,
    elsewhere: Visitor,
}

impl Household {
    async fn at(provider: &Provider) -> Self {
        let app = App::ours(provider, stores::memory().await).await;
        let user = provider.new_user().await;
        let browser = Browser::new();
        let first = app.log_in(&browser.log_in(provider, &user).await).await;
        let second = app.log_in(&browser.log_in(provider, &user).await).await;
        let elsewhere = app.log_in(&Browser::new().log_in(provider, &user).await).await;
        Self { app, user, first, second, elsewhere }
    }
}

/// Expired or not, the visitor is served a token that the provider takes.
async fn assert_logged_in(provider: &Provider, visitor: &Visitor) {
    let reply = visitor.token().await;
    assert_eq!(reply.status.as_u16(), 200);
    assert!(provider.is_live(&reply.body).await);
}

async fn a_session_that_vanishes_during_its_refresh_harms_no_other_login(provider: Provider) {
    let Household { app, user, first, second, elsewhere } = Household::at(&provider).await;
    app.expire();
    app.gate.close();
    let waiting = second.ask();
    app.gate.until(|seen| seen.tokens.len() == 1).await;

    app.store.delete(&second.session_id()).await.unwrap();
    app.gate.open();
    assert_eq!(waiting.await.unwrap().status.as_u16(), 200, "who waited is served");
    assert_eq!(second.token().await.status.as_u16(), 401, "the session is gone");

    assert_logged_in(&provider, &first).await;
    assert_logged_in(&provider, &elsewhere).await;
    assert_eq!(provider.refreshes(&user).await, Refreshes { granted: 3, refused: 0 });
    assert_eq!(app.gate.seen().revocations, 0, "a session that is gone is no logout");
}

async fn a_log_out_ends_what_the_provider_ends_and_nothing_else(provider: Provider) {
    let Household { app, user, first, second, elsewhere } = Household::at(&provider).await;

    assert_eq!(first.log_out().await.status.as_u16(), 200);

    app.expire();
    assert_eq!(first.token().await.status.as_u16(), 401);
    assert_logged_in(&provider, &elsewhere).await;
    assert_eq!(second.token().await.status.as_u16(), 401, "the provider ended the whole browser's");
    assert_eq!(provider.refreshes(&user).await, Refreshes { granted: 1, refused: 1 });
}

macro_rules! at {
    ($($name:ident: $provider:ident, $needs:literal;)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = $needs]
            async fn a_session_that_vanishes_during_its_refresh_harms_no_other_login() {
                let provider = Provider::$provider().await;
                super::a_session_that_vanishes_during_its_refresh_harms_no_other_login(provider)
                    .await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = $needs]
            async fn a_log_out_ends_what_the_provider_ends_and_nothing_else() {
                let provider = Provider::$provider().await;
                super::a_log_out_ends_what_the_provider_ends_and_nothing_else(provider).await;
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
