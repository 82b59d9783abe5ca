//! Routes for whoever decides where requests go: is the process alive, and can it serve.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get},
};
use tokio::sync::Mutex;

use super::Health;
use crate::{TokenRefresher, clock::Moment};

/// For how long an answer serves whoever asks: anybody may ask as often as they like.
const KEPT: Duration = Duration::from_secs(1);

impl TokenRefresher {
    /// A route that answers 200 as long as the process serves: for a liveness probe. It asks nobody,
    /// since a restart would mend neither a store nor a provider.
    pub fn liveness<S>(&self) -> MethodRouter<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        get(async || ([(header::CACHE_CONTROL, "no-store")], "ok"))
    }

    /// A route that says whether to send requests to this process, for a readiness probe:
    /// [`Health`] as JSON, with 200 if it [is ready](Health::is_ready), else with 503. It asks the
    /// stores and the lock once a second at the most, however often it is asked.
    ///
    /// ```
    /// use axum::Router;
    /// # fn example(refresher: tower_token_refresh::TokenRefresher) -> Router {
    /// // Outside of the session layer: no session is read for it.
    /// Router::new()
    ///     .route("/healthz", refresher.liveness())
    ///     .route("/readyz", refresher.readiness())
    /// # }
    /// ```
    pub fn readiness<S>(&self) -> MethodRouter<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        let (refresher, last) = (self.clone(), Arc::<Mutex<Option<(Moment, Health)>>>::default());
        get(async move || {
            let mut last = last.lock().await;
            let clock = refresher.clock();
            let fresh = last.take().filter(|(at, _)| clock.since(*at) < KEPT);
            let (at, health) = match fresh {
                Some(fresh) => fresh,
                None => (clock.moment(), refresher.health().await),
            };
            *last = Some((at, health.clone()));
            answer(&health)
        })
    }
}

fn answer(health: &Health) -> Response {
    let status = if health.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(health)).into_response()
}
