//! `/api`: each request goes to the upstream with the user's access token, and its answer comes
//! back as it is.
//!
//! Bodies are streamed both ways; redirects are the browser's to follow. What is about one
//! connection only stays here, and so do our own cookies: see `headers`. What leads out of the
//! upstream's path is refused: see `path`.

mod headers;
mod path;

use std::{error::Error, iter, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{ConnectInfo, Request, State},
    http::{Method, StatusCode, Uri, header, uri::Scheme},
    response::{IntoResponse, Response},
};
use headers::Via;
use http_body::Body as _;
use http_body_util::{LengthLimitError, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tower_token_refresh::AccessToken;

use super::{
    cookies::CookieNames,
    settings::{BaseUrl, Upstream},
};

/// Below what most servers keep an idle connection for (Node: 5 s), so that no request goes out on
/// one that is being closed.
const IDLE: Duration = Duration::from_secs(4);
/// Idle connections to keep: more than one machine has requests at once.
const IDLE_CONNECTIONS: usize = 512;

/// What a request may use up.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most a request's body may hold, in bytes: no browser form needs more, and an upload that
    /// does is not for `/api`.
    pub request_body: usize,
    /// The longest a connection may take: the upstream is near.
    pub connect: Duration,
    /// The longest from the request's first byte to the head of the answer, the request's body
    /// included. What comes after may take as long as it likes.
    pub answer: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_body: 10 * 1024 * 1024,
            connect: Duration::from_secs(3),
            answer: Duration::from_secs(30),
        }
    }
}

pub(crate) struct Proxy {
    client: Client<HttpConnector, Limited<Body>>,
    upstream: Upstream,
    via: Via,
    limits: Limits,
}

impl Proxy {
    pub fn new(upstream: &Upstream, base: &BaseUrl, names: CookieNames, limits: Limits) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(limits.connect));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build(connector);
        Self { client, upstream: upstream.clone(), via: Via::new(base, names), limits }
    }

    async fn forward(
        &self,
        token: &AccessToken,
        peer: SocketAddr,
        request: Request,
    ) -> Result<Response, Refusal> {
        let (mut head, body) = request.into_parts();
        // The answer to TRACE is the request, and the access token would be in it.
        if matches!(head.method, Method::TRACE | Method::CONNECT) {
            return Err(Refusal::Method);
        }
        if head.headers.contains_key(header::UPGRADE) {
            return Err(Refusal::Upgrade);
        }
        if body.size_hint().lower() > self.limits.request_body as u64 {
            return Err(Refusal::BodyTooLarge);
        }
        let target = self.target(&head.uri)?;
        self.via.outbound(&mut head.headers, token, peer);

        let mut outbound = Request::new(Limited::new(body, self.limits.request_body));
        *outbound.method_mut() = head.method;
        *outbound.uri_mut() = target;
        *outbound.headers_mut() = head.headers;
        let answer = tokio::time::timeout(self.limits.answer, self.client.request(outbound)).await;
        let answer = answer.map_err(|_| Refusal::TooSlow)?.map_err(|error| Refusal::of(&error))?;

        let (head, body) = answer.into_parts();
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Refusal::NoAnswer);
        }
        let mut response = Response::new(Body::new(body));
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        self.via.inbound(response.headers_mut());
        Ok(response)
    }

    fn target(&self, asked: &Uri) -> Result<Uri, Refusal> {
        let below = asked.path().strip_prefix("/api").ok_or(Refusal::Path)?;
        if !path::stays_below(below) {
            return Err(Refusal::Path);
        }
        let path_and_query = path::joined(&self.upstream.path, below, asked.query());
        let target = Uri::builder()
            .scheme(Scheme::HTTP)
            .authority(self.upstream.authority.clone())
            .path_and_query(path_and_query)
            .build()
            .map_err(|_| Refusal::Path)?;
        // Whatever the path was, it must not have become another host.
        if target.authority() != Some(&self.upstream.authority) {
            return Err(Refusal::Path);
        }
        Ok(target)
    }
}

/// `/api/{*path}`, all methods.
pub(crate) async fn forward(
    State(proxy): State<Arc<Proxy>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    token: AccessToken,
    request: Request,
) -> Response {
    proxy.forward(&token, peer, request).await.unwrap_or_else(IntoResponse::into_response)
}

/// Why there is no answer of the upstream.
#[derive(Debug, Clone, Copy)]
enum Refusal {
    Path,
    Method,
    BodyTooLarge,
    Upgrade,
    NotReached,
    NoAnswer,
    BadRequestBody,
    TooSlow,
}

impl Refusal {
    fn of(error: &hyper_util::client::legacy::Error) -> Self {
        let causes = || iter::successors(error.source(), |&cause| cause.source());
        if causes().any(|cause| cause.is::<LengthLimitError>()) {
            Self::BodyTooLarge
        } else if error.is_connect() {
            Self::NotReached
        } else if causes().filter_map(|cause| cause.downcast_ref()).any(hyper::Error::is_user) {
            Self::BadRequestBody
        } else {
            Self::NoAnswer
        }
    }

    fn answer(self) -> (StatusCode, &'static str) {
        match self {
            Self::Path => (StatusCode::BAD_REQUEST, "the path leads out of the API"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "this method is not passed on"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"),
            Self::Upgrade => (StatusCode::NOT_IMPLEMENTED, "upgrades are not passed on"),
            Self::NotReached => (StatusCode::BAD_GATEWAY, "the API cannot be reached"),
            Self::NoAnswer => (StatusCode::BAD_GATEWAY, "the API gave no answer"),
            Self::BadRequestBody => (StatusCode::BAD_REQUEST, "the body broke off"),
            Self::TooSlow => (StatusCode::GATEWAY_TIMEOUT, "the API took too long"),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, why) = self.answer();
        tracing::debug!(status = status.as_u16(), why, "not passed on");
        // Problem JSON (RFC 9457), as the token layer's own answers are.
        let body = format!(r#"{{"title":"{why}","status":{}}}"#, status.as_u16());
        (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response()
    }
}
