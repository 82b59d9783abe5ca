//! The server: gRPC's health service behind a check of the bearer token.

use std::{
    collections::HashSet,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use http::{Uri, uri::InvalidUri};
use tokio::net::TcpListener;
use tonic::{
    Request, Status,
    service::InterceptorLayer,
    transport::{Server, server::TcpIncoming},
};
use tower_token_refresh::testing::StrictIssuer;

/// A server on a free port of 127.0.0.1.
#[derive(Clone)]
pub struct Running {
    pub authority: String,
    check: Check,
}

#[derive(Clone)]
struct Check {
    issuer: StrictIssuer,
    seen: Arc<Mutex<HashSet<String>>>,
    revoked: Arc<Mutex<HashSet<String>>>,
    refused: Arc<AtomicUsize>,
}

pub async fn serve(issuer: StrictIssuer) -> io::Result<Running> {
    let check =
        Check { issuer, seen: Arc::default(), revoked: Arc::default(), refused: Arc::default() };
    let (_, health) = tonic_health::server::health_reporter();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let authority = listener.local_addr()?.to_string();
    let interceptor = check.clone();
    let server = Server::builder()
        .layer(InterceptorLayer::new(move |request| interceptor.check(request)))
        .add_service(health);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    Ok(Running { authority, check })
}

impl Running {
    pub fn origin(&self) -> Result<Uri, InvalidUri> {
        format!("http://{}", self.authority).parse()
    }

    /// It takes none of the tokens any more that it has seen so far.
    pub fn revoke_all_seen(&self) {
        let seen = lock(&self.check.seen).clone();
        lock(&self.check.revoked).extend(seen);
    }

    /// Calls that were answered with `UNAUTHENTICATED`.
    pub fn refused(&self) -> usize {
        self.check.refused.load(Ordering::SeqCst)
    }
}

impl Check {
    fn check(&self, request: Request<()>) -> Result<Request<()>, Status> {
        let authorization = request.metadata().get("authorization");
        let token = authorization.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let token = token.unwrap_or_default();
        if self.issuer.is_access_token_live(token) && !lock(&self.revoked).contains(token) {
            lock(&self.seen).insert(token.to_owned());
            return Ok(request);
        }
        self.refused.fetch_add(1, Ordering::SeqCst);
        Err(Status::unauthenticated("this token is not accepted"))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
