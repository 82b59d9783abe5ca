//! A connection that breaks without a word, while a caller is less patient than it.

use std::time::Duration;

use futures_util::future::join_all;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use support::stores;
use tower_sessions::{SessionStore, session::Id};
use tower_sessions_sqlx_store::sqlx;
use tower_token_refresh::{
    Redis,
    token_store::{PostgresTokens, RecordKey, TokenStore},
};

use crate::proxy::Proxy;

const KEY: RecordKey = RecordKey::from_bytes([7; 16]);
/// Longer than Redis is waited for by itself.
const PATIENCE: Duration = Duration::from_secs(4);
const IMPATIENCE: Duration = Duration::from_millis(500);

fn port_of(url: &str) -> u16 {
    url::Url::parse(url).expect("a URL").port().expect("a port")
}

/// The caller gives up before anybody could know that the connection is dead.
async fn heals<T, E>(proxy: &Proxy, ask: impl AsyncFn() -> Result<T, E>) {
    assert!(ask().await.is_ok());
    proxy.swallow();
    assert!(tokio::time::timeout(IMPATIENCE, ask()).await.is_err(), "nothing comes back");
    proxy.restore();
    let healed =
        async { while !matches!(tokio::time::timeout(IMPATIENCE, ask()).await, Ok(Ok(_))) {} };
    tokio::time::timeout(PATIENCE, healed).await.expect("a new connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: see tests/services/run"]
async fn redis_is_connected_to_again_though_no_caller_waits_for_long() {
    let proxy = Proxy::to(port_of(&stores::redis_url())).await;
    let redis = Redis::connect(&format!("redis://127.0.0.1:{}", proxy.port)).await;
    let redis = redis.expect("Redis answers");
    heals(&proxy, async || redis.tokens().load(KEY).await).await;
    heals(&proxy, async || redis.sessions().load(&Id::default()).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: see tests/services/run"]
async fn a_connection_that_postgresql_does_not_answer_leaves_its_place_in_the_pool() {
    const POOL: u32 = 1;
    let direct = stores::postgres_schema().await;
    PostgresTokens::new(direct.clone()).migrate().await.expect("the tables are created");
    let options: PgConnectOptions = (*direct.connect_options()).clone();
    let proxy = Proxy::to(options.get_port()).await;
    let pool = PgPoolOptions::new().max_connections(POOL);
    let pool = pool.connect_with(options.port(proxy.port)).await.expect("PostgreSQL answers");
    let tokens = PostgresTokens::new(pool.clone());
    let all = async || join_all((0..POOL).map(|_| tokens.load(KEY))).await;
    all().await;
    // A connection is asked whether it is well, which takes 600 ms by this way, and has then its
    // statement under way when it breaks.
    proxy.delay(Duration::from_millis(300));
    let asking = tokio::time::timeout(4 * IMPATIENCE, all());
    let breaking = async {
        tokio::time::sleep(Duration::from_millis(750)).await;
        proxy.swallow();
    };
    assert!(tokio::join!(asking, breaking).0.is_err(), "nothing comes back");
    // Whatever is sent over it afterwards is lost as well.
    tokio::time::sleep(2 * IMPATIENCE).await;
    proxy.delay(Duration::ZERO);
    proxy.restore();

    let served = tokio::time::timeout(PATIENCE, all()).await.expect("new connections");
    assert!(served.iter().all(Result::is_ok), "{served:?}");
}
