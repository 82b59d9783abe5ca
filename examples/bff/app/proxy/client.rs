//! The client that the upstreams are called with: HTTP/1.1, over TLS for https.

use std::{
    error::Error,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, Client, ResponseFuture, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use tower::Service;

use super::Sent;
use crate::app::settings::Upstream;

/// Below what most servers keep an idle connection for (Node: 5 s), so that no request goes out on
/// one that is being closed.
const IDLE: Duration = Duration::from_secs(4);
/// Idle connections to keep: more than one machine has requests at once.
const IDLE_CONNECTIONS: usize = 512;

/// One client for all of them. Each request takes two handles to it. hyper's own would take six
/// counters each, which all threads write to.
#[derive(Clone)]
pub(super) struct Upstreams(Arc<Client<HttpsConnector<HttpConnector>, Sent>>);

/// An error says that there are no certificates to trust.
pub(super) fn new(upstreams: &[Upstream], connect: Duration) -> Result<Upstreams, Box<dyn Error>> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(connect));
    // A WebSocket may be silent for long, and nothing else would tell that its upstream is gone.
    http.set_keepalive(Some(Duration::from_secs(60)));
    let cryptography = aws_lc_rs::default_provider();
    let https = HttpsConnectorBuilder::new();
    // A container that speaks http only need not hold any certificates.
    let https = if upstreams.iter().any(Upstream::is_https) {
        https.with_provider_and_platform_verifier(cryptography)?
    } else {
        let config = ClientConfig::builder_with_provider(cryptography.into());
        let config = config.with_safe_default_protocol_versions()?;
        let nobody = RootCertStore::empty();
        https.with_tls_config(config.with_root_certificates(nobody).with_no_client_auth())
    };
    let connector = https.https_or_http().enable_http1().wrap_connector(http);
    let client = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .build(connector);
    Ok(Upstreams(Arc::new(client)))
}

impl Service<Request<Sent>> for Upstreams {
    type Response = Response<Incoming>;
    type Error = legacy::Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), legacy::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Sent>) -> ResponseFuture {
        self.0.request(request)
    }
}
