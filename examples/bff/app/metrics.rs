//! `METRICS_LISTEN`: what Prometheus and the orchestrator read, on an address of its own, as it is
//! nobody's business but the operators'. Whoever holds all connections of the public one takes none
//! of these, and so cannot have the process killed.

use std::{future::Future, time::Duration};

use axum::{Router, http::header, routing::get};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tower_token_refresh::{TokenRefresher, serve::Server};

/// From an answer of the cache's to a refresh that waits as long as it may for another process.
const SECONDS: [f64; 15] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
const WAITERS: [f64; 10] = [0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0];

/// How often what was measured is summed up, whether somebody reads it or not.
const UPKEEP: Duration = Duration::from_secs(5);

/// Everything that is measured from now on. Before the refresher is built, which describes its
/// metrics.
pub fn record() -> Result<PrometheusHandle, BuildError> {
    builder()?.install_recorder()
}

pub fn builder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_waiters".to_owned()), &WAITERS)
}

/// Serves them until `stop`.
pub async fn serve(
    server: Server,
    recorded: PrometheusHandle,
    refresher: &TokenRefresher,
    stop: impl Future<Output = ()>,
) {
    let routes = routes(recorded.clone())
        .route("/healthz", refresher.liveness())
        .route("/readyz", refresher.readiness());
    tokio::select! {
        () = server.serve(routes, stop) => {}
        () = keep_up(|| recorded.run_upkeep()) => {}
    }
}

/// Each sample of a histogram stays until it is summed up: without this, memory grows while nobody
/// scrapes. It never ends.
pub async fn keep_up(sum_up: impl Fn()) {
    let mut due = tokio::time::interval(UPKEEP);
    loop {
        due.tick().await;
        sum_up();
    }
}

pub fn routes(recorded: PrometheusHandle) -> Router {
    const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
    let scrape = async move || ([(header::CONTENT_TYPE, TEXT)], recorded.render());
    Router::new().route("/metrics", get(scrape))
}
