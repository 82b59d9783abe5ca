//! `examples/bff` in a real browser: one story per file, told at both providers where it needs one.

mod demo;
mod ended_there;
mod outage;
mod stage;
mod three_expiries;
mod web_socket;

/// Makes two tests of a story.
macro_rules! at_both_providers {
    ($($story:ident;)*) => {$(
        mod $story {
            use support::providers::Provider;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = "needs Keycloak and Chromium: see tests/services/run"]
            async fn at_keycloak() {
                super::$story(Provider::keycloak().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = "needs oidc-provider and Chromium: see tests/services/run"]
            async fn at_oidc_provider() {
                super::$story(Provider::oidc_provider().await).await;
            }
        }
    )*};
}
use at_both_providers;
