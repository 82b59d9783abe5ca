//! One connection: HTTP/1.1 by hyper, with limits.

use std::{net::SocketAddr, pin::pin, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::sync::watch;
use tower::ServiceExt;

use super::{body::TimedBody, head_timer::HeadTimer, socket::Socket};

/// hyper's buffer. A head that fills it is refused; one that arrives in one piece may overfill it,
/// by as much again. hyper reads no further ahead, so this bounds the memory of a connection as
/// well.
///
/// The other limit, 100 header fields, is hyper's default: set by hand, the fields would cost an
/// allocation for each request.
const HEAD_SIZE: usize = 32 * 1024;

/// How long a client may take. No limit: for ever.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) header: Duration,
    pub(super) idle: Duration,
    pub(super) body: Option<Duration>,
    pub(super) write: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            body: Some(Duration::from_secs(30)),
            write: Some(Duration::from_secs(60)),
        }
    }
}

/// Serves all requests of a connection. Once the sender behind `stopping` is gone, it ends after
/// the one that is under way.
pub(super) async fn serve(
    socket: Socket,
    peer: SocketAddr,
    router: Router,
    limits: Limits,
    mut stopping: watch::Receiver<()>,
) {
    let timer = HeadTimer::new(socket.heard(), limits);
    let service = router.map_request(move |request: http::Request<Incoming>| {
        let mut request = request.map(|body| Body::new(TimedBody::new(body, limits.body)));
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    });
    let connection = http1::Builder::new()
        .timer(timer)
        .header_read_timeout(limits.header)
        .max_buf_size(HEAD_SIZE)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(service))
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        _ = stopping.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    // That is no news: clients leave, and limits are there to be reached.
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection ended early");
    }
}
