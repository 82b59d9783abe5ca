//! `METRICS_LISTEN`: what Prometheus reads, on an address of its own, as it is nobody's business but
//! the operators'.

use std::future::Future;

use axum::{Router, http::header, routing::get};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tower_token_refresh::serve::Server;

/// From an answer of the cache's to a refresh that waits as long as it may for another process.
const SECONDS: [f64; 15] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
const WAITERS: [f64; 10] = [0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0];

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

pub async fn serve(server: Server, recorded: PrometheusHandle, stop: impl Future<Output = ()>) {
    server.serve(routes(recorded), stop).await;
}

pub fn routes(recorded: PrometheusHandle) -> Router {
    const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
    let scrape = async move || {
        // Histograms are summed up here, so that they do not grow between two scrapes.
        recorded.run_upkeep();
        ([(header::CONTENT_TYPE, TEXT)], recorded.render())
    };
    Router::new().route("/metrics", get(scrape))
}
