//! Two processes on one token store that compares and swaps: together they present each refresh
//! token once, and what one of them ends has ended in the other.

use std::time::Duration;

use support::{
    providers::{Browser, Provider, Refreshes, User},
    stores,
};
use tower_token_refresh::{
    testing::{ManualClock, MemoryTokens},
    token_store::TokenStore,
};

use crate::app::{App, Visitor, replies};

const EXPIRIES: usize = 5;
/// Requests that each process gets at once.
const REQUESTS: usize = 3;

/// Two processes, and a visitor whom either of them serves.
struct Pair {
    provider: Provider,
    user: User,
    clock: ManualClock,
    one: App,
    other: App,
    visitor: Visitor,
}

impl Pair {
    async fn at(provider: Provider, tokens: impl TokenStore + Clone) -> Self {
        let sessions = stores::memory().await;
        let clock = ManualClock::new();
        let one = App::process(&provider, &sessions, &tokens, &clock).await;
        let other = App::process(&provider, &sessions, &tokens, &clock).await;
        let user = provider.new_user().await;
        let visitor = one.log_in(&Browser::new().log_in(&provider, &user).await).await;
        // The other one holds the token before our clock moves: a server's own clock stands still.
        assert_eq!(visitor.at(&other).token().await.status.as_u16(), 200);
        Self { provider, user, clock, one, other, visitor }
    }

    fn expire(&self) {
        self.clock.advance(Duration::from_secs(3600));
    }
}

/// Several expiries in a row. Both processes have all of their requests before either of them gets
/// the provider's answer.
async fn each_expiry_is_one_refresh(provider: Provider, tokens: impl TokenStore + Clone) {
    let pair = Pair::at(provider, tokens).await;
    let apps = [&pair.one, &pair.other];
    for expiry in 1..=EXPIRIES {
        pair.expire();
        let before = apps.map(|app| app.arrivals.arrived_so_far());
        apps.iter().for_each(|app| app.gate.close());
        let requests = (0..REQUESTS).flat_map(|_| apps.map(|app| pair.visitor.at(app).ask()));
        let requests = requests.collect();
        for (app, before) in apps.into_iter().zip(before) {
            app.arrivals.until_arrived(before + REQUESTS).await;
        }
        apps.iter().for_each(|app| app.gate.open());

        let replies = replies(requests).await;
        let newest = replies[0].body.clone();
        for reply in &replies {
            assert_eq!((reply.status.as_u16(), &reply.body), (200, &newest), "expiry {expiry}");
        }
        assert!(pair.provider.is_live(&newest).await);
        let refreshes = pair.provider.refreshes(&pair.user).await;
        assert_eq!(refreshes, Refreshes { granted: expiry, refused: 0 });
    }
}

/// One process has the provider's answer on the way to it when the user logs out at the other.
async fn a_log_out_ends_what_the_other_process_is_refreshing(
    provider: Provider,
    tokens: impl TokenStore + Clone,
) {
    let pair = Pair::at(provider, tokens).await;
    pair.expire();
    pair.one.gate.close();
    let waiting = pair.visitor.ask();
    pair.one.gate.until(|seen| seen.tokens.len() == 1).await;

    assert_eq!(pair.visitor.at(&pair.other).log_out().await.status.as_u16(), 200);
    pair.one.gate.open();

    assert_eq!(waiting.await.expect("no panic").status.as_u16(), 401);
    pair.one.gate.until(|seen| seen.revocations >= 1).await;
    let brought = &pair.one.gate.seen().tokens[0];
    let access_token = brought["access_token"].as_str().expect("a token response");
    assert!(!pair.provider.is_live(access_token).await);
    let refreshed =
        pair.provider.refresh(brought["refresh_token"].as_str().expect("a token")).await;
    assert_eq!((refreshed.status.as_u16(), refreshed.text("error")), (400, "invalid_grant"));
    for app in [&pair.one, &pair.other] {
        assert_eq!(pair.visitor.at(app).token().await.status.as_u16(), 401, "it has ended in both");
    }
}

macro_rules! at {
    ($($name:ident: $provider:ident, $tokens:expr, $needs:literal;)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = $needs]
            async fn each_expiry_is_one_refresh() {
                super::each_expiry_is_one_refresh(Provider::$provider().await, $tokens).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = $needs]
            async fn a_log_out_ends_what_the_other_process_is_refreshing() {
                let provider = Provider::$provider().await;
                super::a_log_out_ends_what_the_other_process_is_refreshing(provider, $tokens).await;
            }
        }
    )*};
}

at! {
    keycloak_and_memory: keycloak, MemoryTokens::new(), "needs Keycloak: see tests/services/run";
    keycloak_and_redis: keycloak, stores::redis_tokens().await,
        "needs Keycloak and Redis: see tests/services/run";
    keycloak_and_postgres: keycloak, stores::postgres_tokens().await,
        "needs Keycloak and PostgreSQL: see tests/services/run";
    keycloak_and_sqlite: keycloak, stores::sqlite_tokens().await,
        "needs Keycloak: see tests/services/run";
    oidc_provider_and_memory: oidc_provider, MemoryTokens::new(),
        "needs oidc-provider: see tests/services/run";
    oidc_provider_and_redis: oidc_provider, stores::redis_tokens().await,
        "needs oidc-provider and Redis: see tests/services/run";
    oidc_provider_and_postgres: oidc_provider, stores::postgres_tokens().await,
        "needs oidc-provider and PostgreSQL: see tests/services/run";
    oidc_provider_and_sqlite: oidc_provider, stores::sqlite_tokens().await,
        "needs oidc-provider: see tests/services/run";
}
