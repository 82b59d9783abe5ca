//! The way to a real provider is cut for twenty seconds under load: no request fails.

use std::time::Duration;

use support::{
    providers::{Browser, Provider, Refreshes},
    stores,
    way::Way,
};
use tower_token_refresh::testing::ManualClock;

use crate::app::{App, Visitor};

const CUT: Duration = Duration::from_secs(20);
const BETWEEN_REQUESTS: Duration = Duration::from_millis(100);

/// How the way is cut.
#[derive(Clone, Copy)]
enum How {
    /// Connections are refused.
    Refusing,
    /// Connections are taken, and nothing ever comes back.
    Silent,
}

/// Tokens live for sixty seconds. The cut begins where they are refreshed early, and lasts for
/// twenty real seconds.
async fn no_request_fails(provider: Provider, how: How) {
    let way = Way::to(&provider.url("token_endpoint")).await;
    let provider = provider.by_way_of(way.address.port()).await;
    let app = App::by_way_of(&provider, &way, stores::memory().await).await;
    let user = provider.new_user().await;
    let visitor = app.log_in(&Browser::new().log_in(&provider, &user).await).await;
    app.clock.advance(Duration::from_secs(28));
    match how {
        How::Refusing => way.refuse(),
        How::Silent => way.swallow(),
    }

    let mut failed = under_load(&app.clock, &visitor, CUT).await;
    way.restore();
    failed += under_load(&app.clock, &visitor, Duration::from_secs(15)).await;

    assert_eq!(failed, 0);
    let reply = visitor.token().await;
    assert!(provider.is_live(&reply.body).await, "with a new token in the end");
    assert_eq!(provider.refreshes(&user).await, Refreshes { granted: 1, refused: 0 });
}

/// How many requests fail. The application's clock goes with the real one: the sockets' time limits
/// are real.
async fn under_load(clock: &ManualClock, visitor: &Visitor, how_long: Duration) -> usize {
    let mut pulse = tokio::time::interval(BETWEEN_REQUESTS);
    let mut failed = 0;
    for _ in 0..how_long.as_millis() / BETWEEN_REQUESTS.as_millis() {
        pulse.tick().await;
        clock.advance(BETWEEN_REQUESTS);
        failed += usize::from(visitor.token().await.status.as_u16() != 200);
    }
    failed
}

macro_rules! at {
    ($($name:ident: $provider:ident, $needs:literal;)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = $needs]
            async fn no_request_fails_while_connections_are_refused() {
                no_request_fails(Provider::$provider().await, How::Refusing).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = $needs]
            async fn no_request_fails_while_the_provider_stays_silent() {
                no_request_fails(Provider::$provider().await, How::Silent).await;
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
