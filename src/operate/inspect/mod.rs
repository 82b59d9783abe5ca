//! Routes that show the refreshes of this process to whoever may see them: a page, the same as
//! JSON, and a stream of it.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    Json, Router,
    extract::{ConnectInfo, Request, State},
    middleware::{self, Next},
    response::{Html, IntoResponse, Response, Sse, sse::Event, sse::KeepAlive},
    routing::get,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::{Stream, stream};
use http::{StatusCode, header, request::Parts};
use serde::Serialize;
use tokio::time::sleep;

use super::{Snapshot, Stats};
use crate::TokenRefresher;

const SCRIPT: &str = concat!(include_str!("timeline.js"), include_str!("page.js"));
const STYLE: &str = include_str!("style.css");
const PAGE: &str = include_str!("page.html");

/// How often the stream tells of changes, at the most.
const BETWEEN_EVENTS: Duration = Duration::from_millis(200);

type Allow = Arc<dyn Fn(&Parts) -> bool + Send + Sync>;

/// What the page shows.
#[derive(Serialize)]
struct View {
    stats: Stats,
    flights: Snapshot,
}

impl TokenRefresher {
    /// Routes that show what this process is doing, for the people who run it: `/` is a page with
    /// the refreshes under way and the last 256, `/flights` the same as JSON, and `/events` a stream
    /// of it (server-sent events), with a message at most every 200 ms. No secret is in it; whoever
    /// sees it learns how many users there are, and when they are active.
    ///
    /// `allow` says who may see it; others get 403. There is no way without such a rule.
    /// [`from_loopback`](crate::operate::from_loopback) is one. Nest the routes below a path:
    ///
    /// ```
    /// use axum::Router;
    /// use tower_token_refresh::{TokenRefresher, operate::from_loopback};
    ///
    /// # fn example(refresher: TokenRefresher) -> Router {
    /// Router::new().nest("/ops", refresher.inspect(from_loopback))
    /// # }
    /// ```
    pub fn inspect<S>(&self, allow: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        let allow: Allow = Arc::new(allow);
        Router::new()
            .route("/", get(page))
            .route("/flights", get(flights))
            .route("/events", get(events))
            .layer(middleware::from_fn_with_state(allow, guard))
            .with_state(self.clone())
    }

    fn view(&self) -> View {
        View { stats: self.stats(), flights: self.snapshot() }
    }
}

/// Allows requests from this machine, by the address of the connection: a rule for
/// [`TokenRefresher::inspect`]. Behind a proxy on this machine every request is one. It needs
/// axum's `ConnectInfo<SocketAddr>`, which `serve::Server` gives; without it nobody is allowed.
pub fn from_loopback(request: &Parts) -> bool {
    let peer = request.extensions.get::<ConnectInfo<SocketAddr>>();
    peer.is_some_and(|ConnectInfo(peer)| peer.ip().to_canonical().is_loopback())
}

async fn guard(State(allow): State<Allow>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    if !allow(&parts) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let mut response = next.run(Request::from_parts(parts, body)).await;
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, http::HeaderValue::from_static(value));
    }
    response
}

async fn page() -> impl IntoResponse {
    let hash = |text: &str| BASE64_STANDARD.encode(digest(&SHA256, text.as_bytes()));
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(SCRIPT),
        hash(STYLE)
    );
    let page = PAGE.replace("{style}", STYLE).replace("{script}", SCRIPT);
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(page))
}

async fn flights(State(refresher): State<TokenRefresher>) -> impl IntoResponse {
    Json(refresher.view())
}

async fn events(
    State(refresher): State<TokenRefresher>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let changes = refresher.flight_changes();
    let events =
        stream::unfold((refresher, changes, true), |(refresher, mut changes, first)| async move {
            if !first {
                sleep(BETWEEN_EVENTS).await;
                // An error would say that the refresher is gone, which this holds.
                changes.changed().await.ok()?;
            }
            changes.mark_unchanged();
            let event = Event::default().json_data(refresher.view()).ok()?;
            Some((Ok(event), (refresher, changes, false)))
        });
    Sse::new(events).keep_alive(KeepAlive::default())
}
