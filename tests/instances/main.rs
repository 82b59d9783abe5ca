//! Proves what the contract says about several processes where it has to hold: the example `bff`
//! runs as several programs of the operating system, on one Redis or one PostgreSQL, and they are
//! killed, frozen and cut off. The provider is our own strict one, whose answers a test holds back
//! where a race has to be certain; the plain storm also runs at Keycloak and oidc-provider.
//!
//! Each test is ignored, as it needs servers, and prints a row of a table:
//! `tests/services/run keycloak oidc-provider redis postgres faketime -- cargo test --test
//! instances -- --include-ignored --nocapture`.

#[path = "../bff/api.rs"]
mod api;
mod balancer;
mod fleet;
mod report;
mod visitor;
mod wire;

mod behind_balancer;
mod clocks;
mod deaths;
mod endings;
mod marks;
mod real_providers;
mod slow_provider;
mod storm;

/// Runs each test on Redis and on PostgreSQL.
macro_rules! on_each_server {
    ($($(#[$meta:meta])* async fn $name:ident($store:ident: Store) $body:block)*) => {$(
        $(#[$meta])*
        async fn $name($store: crate::fleet::Store) $body

        mod $name {
            use crate::fleet::Store;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = "needs Redis: see tests/services/run"]
            async fn on_redis() {
                super::$name(Store::Redis).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = "needs PostgreSQL: see tests/services/run"]
            async fn on_postgres() {
                super::$name(Store::Postgres).await;
            }
        }
    )*};
}
pub(crate) use on_each_server;
