//! The plain storm at the providers of production, three expiries in a row.

use support::providers::{Provider, Refreshes};

use crate::{
    fleet::{Processes, Settings, Stopwatch, Store, until_expired},
    report::{self, Answers},
    visitor::Visitor,
    wire::Load,
};

const EXPIRIES: usize = 3;
const LOAD: Load = Load { requests: 200, connections: 200 };
/// A client of both providers whose access tokens live for `SECONDS`.
const CLIENT_ID: &str = "web-short";
const SECONDS: u64 = 8;

/// Both processes have expired tokens and get a hundred requests each.
async fn each_expiry_is_one_refresh(provider: Provider, store: Store) {
    let defaults: [Settings<'_>; 2] = [&[], &[]];
    let processes = Processes::start(store, &provider.issuer_url, CLIENT_ID, &defaults).await;
    let user = provider.new_user().await;
    let visitor = Visitor::log_in(&processes.running[0].url, &user).await;

    let (mut all, mut slowest) = (Answers::default(), 0_f64);
    for expiry in 1..=EXPIRIES {
        until_expired(SECONDS).await;
        let watch = Stopwatch::start();
        let answers = processes.storm(&visitor, LOAD).await;
        slowest = slowest.max(watch.seconds());
        let token = answers.assert_all_served();
        assert!(provider.is_live(token).await, "the provider takes the newest token");
        let posts = provider.refreshes(&user).await;
        assert_eq!(posts, Refreshes { granted: expiry, refused: 0 });
        all.0.extend(answers.0);
    }
    let posts = provider.refreshes(&user).await;
    let scene = format!("200 requests at 2 processes, {}, 3 times", provider.name);
    report::row(&scene, store, posts, &all, slowest);
}

async fn at_keycloak(store: Store) {
    each_expiry_is_one_refresh(Provider::keycloak().await, store).await;
}

async fn at_oidc_provider(store: Store) {
    each_expiry_is_one_refresh(Provider::oidc_provider().await, store).await;
}

macro_rules! at {
    ($($name:ident: $provider:ident on $store:ident, $needs:literal;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        #[ignore = $needs]
        async fn $name() {
            $provider(Store::$store).await;
        }
    )*};
}

at! {
    keycloak_on_redis: at_keycloak on Redis,
        "needs Keycloak and Redis: see tests/services/run";
    keycloak_on_postgres: at_keycloak on Postgres,
        "needs Keycloak and PostgreSQL: see tests/services/run";
    oidc_provider_on_redis: at_oidc_provider on Redis,
        "needs oidc-provider and Redis: see tests/services/run";
    oidc_provider_on_postgres: at_oidc_provider on Postgres,
        "needs oidc-provider and PostgreSQL: see tests/services/run";
}
