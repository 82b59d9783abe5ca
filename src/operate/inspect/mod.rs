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
use futures_util::{Stream, StreamExt, stream};
use http::{StatusCode, header, request::Parts, uri::Authority};
use serde::Serialize;
use tokio::time::{sleep, timeout};

use super::{Snapshot, Stats};
use crate::{TokenRefresher, loopback::is_loopback};

const SCRIPT: &str = concat!(include_str!("timeline.js"), include_str!("page.js"));
const STYLE: &str = include_str!("style.css");
const PAGE: &str = include_str!("page.html");

/// How often the stream tells of changes, at the most.
const BETWEEN_EVENTS: Duration = Duration::from_millis(200);
/// How often it tells of refreshes under way, at the least: nothing else says who waits for them.
const WHILE_REFRESHING: Duration = Duration::from_secs(1);
/// How long a stream is. A server that waits for its requests to end would wait for ever; the page
/// opens the next one by itself.
const LONGEST_STREAM: Duration = Duration::from_secs(30);
/// After which time it does so.
const OPENED_AGAIN: Duration = Duration::from_secs(1);

type Allow = Arc<dyn Fn(&Parts) -> bool + Send + Sync>;

/// What the page shows.
#[derive(Serialize)]
struct View {
    stats: Stats,
    flights: Snapshot,
}

impl View {
    fn is_refreshing(&self) -> bool {
        !self.flights.running.is_empty()
    }

    fn event(&self) -> Option<Event> {
        Event::default().json_data(self).ok()
    }
}

impl TokenRefresher {
    /// Routes that show what this process is doing, for the people who run it: `/` is a page with
    /// the refreshes under way and the last 256, `/flights` the same as JSON, and `/events` a stream
    /// of it (server-sent events), with a message at most every 200 ms, and every second while
    /// there are refreshes. A stream ends after 30 s, and at [`shutdown`](Self::shutdown); the page
    /// opens the next one. So `axum::serve` with a graceful shutdown waits for an open page for 30 s
    /// at the most. No secret is in it; whoever sees it learns how many users there are, and when
    /// they are active.
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

/// Allows requests from this machine to this machine, by the address of the connection and by the
/// host that is asked for (`localhost`, 127.0.0.0/8 or `[::1]`): a rule for
/// [`TokenRefresher::inspect`]. A website whose name leads to this machine (DNS rebinding) can make
/// a browser here send requests, but not with such a host.
///
/// A proxy on this machine that does not pass the host on makes every request one from here. It
/// needs axum's `ConnectInfo<SocketAddr>`, which `serve::Server` gives; without it nobody is
/// allowed.
pub fn from_loopback(request: &Parts) -> bool {
    let peer = request.extensions.get::<ConnectInfo<SocketAddr>>();
    let is_near = peer.is_some_and(|ConnectInfo(peer)| peer.ip().to_canonical().is_loopback());
    is_near && is_for_loopback(request)
}

/// Each host that it names must be one: which of them counts is for others to say.
fn is_for_loopback(request: &Parts) -> bool {
    let in_headers = request.headers.get_all(header::HOST).iter();
    let in_headers = in_headers.map(|host| Authority::try_from(host.as_bytes()).ok());
    // HTTP/2 has it here.
    let mut hosts = request.uri.authority().cloned().map(Some).into_iter().chain(in_headers);
    let is_loopback = |host: Option<Authority>| host.is_some_and(|host| is_loopback(host.host()));
    hosts.next().is_some_and(is_loopback) && hosts.all(is_loopback)
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
    let (closing, changes) = (refresher.closing(), refresher.flight_changes());
    let end = async move { timeout(LONGEST_STREAM, closing.cancelled_owned()).await };
    // At once, even if this is the end: whoever looks sees what is.
    let view = refresher.view();
    let is_refreshing = view.is_refreshing();
    let first = stream::iter(view.event().map(|event| event.retry(OPENED_AGAIN)));
    let further = stream::unfold(
        (refresher, changes, is_refreshing),
        |(refresher, mut changes, is_refreshing)| async move {
            sleep(BETWEEN_EVENTS).await;
            let longest =
                if is_refreshing { WHILE_REFRESHING - BETWEEN_EVENTS } else { LONGEST_STREAM };
            // An error would say that the refresher is gone, which this holds.
            let _told_or_due = timeout(longest, changes.changed()).await;
            changes.mark_unchanged();
            let view = refresher.view();
            let is_refreshing = view.is_refreshing();
            Some((view.event()?, (refresher, changes, is_refreshing)))
        },
    );
    let events = first.chain(further.take_until(end)).map(Ok);
    Sse::new(events).keep_alive(KeepAlive::default())
}
