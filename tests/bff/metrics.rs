//! What Prometheus reads of this application, and who may send requests to it.

use std::{cell::Cell, time::Duration};

use axum::Router;
use futures_util::future::join_all;
use support::{
    bff::{self, Running},
    scrape::value,
};
use tokio::{net::TcpListener, task::spawn_blocking, time::timeout};
use tower_token_refresh::testing::StrictIssuer;

use crate::{app::metrics, database::Database, world::World};

/// Longer than the life of a token.
const LATER: Duration = Duration::from_secs(400);

async fn serve(routes: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}

#[tokio::test]
async fn a_scrape_under_the_storm_shows_what_the_provider_has_counted() {
    let recorder = metrics::builder().expect("buckets").build_recorder();
    let routes = metrics::routes(recorder.handle());
    let _recording = ::metrics::set_default_local_recorder(&recorder);
    let url = serve(routes).await;
    let scrape = async || {
        let answer = reqwest::get(format!("{url}/metrics")).await.expect("it serves");
        assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
        answer.text().await.expect("text")
    };

    let world = World::new().await;
    let browser = world.logged_in().await;
    for storm in 1..=3 {
        world.clock.advance(LATER);
        assert_eq!(join_all((0..50).map(|_| browser.api_status())).await, [200; 50]);
        let scraped = scrape().await;
        let issuer = world.issuer.issuer();
        assert_eq!(issuer.refreshes(), storm);
        let refreshed = [("outcome", "refreshed")];
        #[expect(clippy::cast_precision_loss, reason = "there are three")]
        let counted = issuer.refreshes() as f64;
        for (name, labels) in [
            ("token_refresh_flights_total", &refreshed[..]),
            ("token_refresh_flight_duration_seconds_count", &refreshed),
            (
                "token_refresh_token_request_duration_seconds_count",
                &[("requests", "refresh"), ("outcome", "granted")],
            ),
        ] {
            assert_eq!(value(&scraped, name, labels), counted, "{name}");
        }
        let waited = [("from", "refresh")];
        let served = value(&scraped, "token_refresh_served_total", &waited);
        assert_eq!(served, 50.0 * counted, "each call waited for it");
    }
    let scraped = scrape().await;
    assert_eq!(value(&scraped, "token_refresh_logins_total", &[]), 1.0);
    let requests = [("requests", "login"), ("outcome", "granted")];
    let logins = value(&scraped, "token_refresh_token_request_duration_seconds_count", &requests);
    assert_eq!(logins, 1.0);
    assert!(scraped.contains("token_refresh_flight_duration_seconds_bucket{"), "{scraped}");
    for (name, kind) in [("flights_total", "counter"), ("breaker_state", "gauge")] {
        assert!(scraped.contains(&format!("# TYPE token_refresh_{name} {kind}")), "{scraped}");
    }
}

#[tokio::test]
async fn the_program_serves_them_on_an_address_of_their_own() {
    let program = spawn_blocking(|| bff::build(&[])).await.expect("it builds");
    let issuer = StrictIssuer::new().serve().await.expect("a free port");
    let listen = bff::free_url();
    let listen = listen.strip_prefix("http://").expect("a URL");
    let api = serve(Router::new()).await;
    let settings = [("METRICS_LISTEN", listen)];
    let bff = Running::start(&program, &issuer.issuer_url(), "web", &api, &settings).await;
    let status = async |url: String| reqwest::get(url).await.expect("it serves").status();
    assert_eq!(status(format!("http://{listen}/metrics")).await, 200);
    assert_eq!(status(format!("http://{listen}/healthz")).await, 200);
    assert_eq!(status(format!("http://{listen}/readyz")).await, 200);
    assert_eq!(status(format!("http://{listen}/api/orders")).await, 404);
    assert_eq!(status(format!("{}/metrics", bff.url)).await, 404);
    let scraped = reqwest::get(format!("http://{listen}/metrics")).await.unwrap();
    let scraped = scraped.text().await.unwrap();
    assert_eq!(value(&scraped, "token_refresh_breaker_state", &[("requests", "refresh")]), 0.0);
}

#[tokio::test(start_paused = true)]
async fn what_is_measured_is_summed_up_every_five_seconds_though_nobody_scrapes() {
    let times = Cell::new(0);
    let upkeep = metrics::keep_up(|| times.set(times.get() + 1));
    let for_a_minute = timeout(Duration::from_secs(59), upkeep).await;
    assert!(for_a_minute.is_err(), "it goes on");
    assert_eq!(times.get(), 12);
}

#[tokio::test]
async fn it_is_ready_while_its_store_is_there() {
    let store = Database::new();
    let world = World::setup().setting("DATABASE_URL", store.url()).start().await;
    let ready = async || world.browser().get("/readyz").await.status();
    assert_eq!(ready().await, 200);
    assert_eq!(world.browser().get("/healthz").await.status(), 200);
    store.fail().await;
    world.clock.advance(Duration::from_secs(2));
    assert_eq!(ready().await, 503);
    assert_eq!(world.browser().get("/healthz").await.status(), 200, "a restart mends no store");
}
