//! The traces of a storm: five requests of one user come just after the access token has expired,
//! and four of them wait for the refresh of the first one.
//!
//! ```sh
//! cargo run --example traces
//! ```
//!
//! The spans of this crate are those of `tracing`, so `tracing-opentelemetry` makes traces of them.
//! Here they are kept in memory and printed; an application gives its tracer provider an exporter
//! instead, such as `opentelemetry-otlp`. It fails if a request does not lead to its refresh.

use std::{error::Error, time::Duration};

use axum::{Router, body::Body, routing::get};
use http::{Request, header};
use opentelemetry::{SpanId, trace::TracerProvider};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tower::ServiceExt;
use tower_token_refresh::{
    AccessToken, ClientAuth, TokenEndpoint, TokenRefreshLayer, TokenRefresher, TokenSet,
    testing::{ManualClock, StrictIssuer},
    tower_sessions::{MemoryStore, Session},
};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{Layer, filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

const REQUESTS: usize = 5;
const LIFE: Duration = Duration::from_secs(300);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let exporter = InMemorySpanExporter::default();
    let traces = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let levels = Targets::new().with_target("tower_token_refresh", LevelFilter::DEBUG);
    let layer = tracing_opentelemetry::layer().with_tracer(traces.tracer("shop"));
    tracing_subscriber::registry().with(layer.with_filter(levels)).init();

    storm().await?;

    let spans = exporter.get_finished_spans()?;
    for root in spans.iter().filter(|span| span.parent_span_id == SpanId::INVALID) {
        print(root, &spans, 0);
    }
    let named = |name: &'static str| spans.iter().filter(move |span| span.name == name);
    let flight = named("token_refresh.flight").next().ok_or("no refresh was traced")?;
    let leads = |span: &SpanData| {
        span.links.iter().any(|link| link.span_context.span_id() == flight.span_context.span_id())
    };
    let waited = named("token_refresh.request").filter(|span| leads(span)).count();
    match (named("token_refresh.flight").count(), waited) {
        (1, REQUESTS) => Ok(()),
        counts => Err(format!("refreshes, and requests that lead to one: {counts:?}").into()),
    }
}

/// Logs alice in, lets her token expire, and asks for it five times at once.
async fn storm() -> Result<(), Box<dyn Error>> {
    let clock = ManualClock::new();
    let issuer = StrictIssuer::builder().clock(clock.clock()).access_token_lifetime(LIFE).build();
    let endpoint = TokenEndpoint::new(issuer.token_url(), ClientAuth::basic("web", "secret"))
        .issuer(issuer.issuer_url())
        .transport(issuer.transport());
    let store = MemoryStore::default();
    let refresher = TokenRefresher::builder(endpoint, store).clock(clock.clock()).build()?;
    let app = Router::new()
        .route("/orders", get(async |_: AccessToken| "your orders"))
        .layer(TokenRefreshLayer::new(&refresher))
        .layer(refresher.session_layer());

    let session = Session::new(None, refresher.session_store().into(), None);
    refresher.log_in(&session, TokenSet::from_response(issuer.log_in("alice"))?).await?;
    let id = session.id().ok_or("the session is saved")?;
    clock.advance(LIFE);
    let request = || {
        let request = Request::get("/orders").header(header::COOKIE, format!("id={id}"));
        request.body(Body::empty()).expect("a request")
    };
    let answers = (0..REQUESTS).map(|_| app.clone().oneshot(request()));
    for answer in futures_util::future::join_all(answers).await {
        println!("{}", answer?.status());
    }
    Ok(())
}

fn print(span: &SpanData, all: &[SpanData], depth: usize) {
    let said = |attribute: &opentelemetry::KeyValue| {
        let key = attribute.key.as_str();
        let is_ours = !["code.", "thread.", "busy_ns", "idle_ns", "target", "level"]
            .iter()
            .any(|other| key.starts_with(other));
        is_ours.then(|| format!("{key}={}", attribute.value))
    };
    let said: Vec<_> = span.attributes.iter().filter_map(said).collect();
    let id = span.span_context.span_id();
    let follows: Vec<_> =
        span.links.iter().map(|link| format!("-> {}", link.span_context.span_id())).collect();
    println!("{:depth$}{} {id} {} {}", "", span.name, said.join(" "), follows.join(" "));
    for child in all.iter().filter(|child| child.parent_span_id == id) {
        print(child, all, depth + 2);
    }
}
