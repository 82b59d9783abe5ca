//! Routes for whoever decides where requests go: is the process alive, and can it serve.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get},
};
use tokio_util::task::TaskTracker;

use super::Health;
use crate::{
    TokenRefresher,
    clock::Moment,
    single_flight::{Joined, Lost, SingleFlight, Start},
};

/// For how long an answer serves whoever asks: anybody may ask as often as they like.
const KEPT: Duration = Duration::from_secs(1);
/// Longer than asking may take: each of them has 2 s.
const LONGEST: Duration = Duration::from_secs(60);

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
    /// stores and the lock once a second at the most, however often it is asked; a second route of
    /// this kind asks for itself.
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
        let readiness = Arc::new(Readiness::of(self.clone()));
        get(async move || answer(readiness.now().await))
    }
}

/// The last answer, and who asks for the next one. All who come meanwhile share it, and it is no
/// matter to it who of them goes away.
struct Readiness {
    refresher: TokenRefresher,
    last: Mutex<Option<(Moment, Health)>>,
    asking: SingleFlight<(), Health>,
}

impl Readiness {
    fn of(refresher: TokenRefresher) -> Self {
        let asking = SingleFlight::new(LONGEST, TaskTracker::new());
        Self { refresher, last: Mutex::default(), asking }
    }

    async fn now(self: &Arc<Self>) -> Result<Health, Lost> {
        let joined = self.asking.join_or_start(&(), || match self.fresh() {
            Some(health) => Start::No(health),
            None => Start::Flight(self.clone().ask()),
        });
        let mut health = match joined {
            Joined::Known(health) => health,
            Joined::Waiting { answer, .. } => answer.await?,
        };
        // Nobody has to be asked for this, so it is not as old as the rest.
        health.shutting_down = self.refresher.closing().is_cancelled();
        Ok(health)
    }

    fn fresh(&self) -> Option<Health> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, health) = last.as_ref()?;
        (self.refresher.clock().since(*at) < KEPT).then(|| health.clone())
    }

    /// Its age counts from its end: a slow store is left alone for as long as a fast one.
    async fn ask(self: Arc<Self>) -> Health {
        let health = self.refresher.health().await;
        let now = self.refresher.clock().moment();
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, health.clone()));
        health
    }
}

fn answer(health: Result<Health, Lost>) -> Response {
    let no_store = [(header::CACHE_CONTROL, "no-store")];
    match health {
        Ok(health) if health.is_ready() => (no_store, Json(health)).into_response(),
        Ok(health) => (StatusCode::SERVICE_UNAVAILABLE, no_store, Json(health)).into_response(),
        Err(Lost) => (StatusCode::SERVICE_UNAVAILABLE, no_store).into_response(),
    }
}
