//! `/api`: each request goes to the upstream of its path with the user's access token, and its
//! answer comes back as it is.
//!
//! If the upstream refuses the token with a 401, the request goes out once more with a newer one,
//! and the browser sees nothing of it. That needs its body again: a small one is kept until then.
//! Larger ones are streamed, as all answers are, and their 401 is passed on.
//!
//! Redirects are the browser's to follow. What is about one connection only stays here, and so do
//! our own cookies: see `headers`, `answer` and `cookies`. What can be read in two ways is refused,
//! as the upstream may read it in the other one: see `path` and `check`.
//!
//! WebSockets and event streams stay open, and end with the login: see `web_socket` and
//! `until_end`.

mod answer;
mod backend;
mod check;
mod client;
mod cookies;
mod headers;
mod path;
mod refusal;
mod until_end;
mod web_socket;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{ConnectInfo, Request, State},
    http::{StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use backend::Backend;
use bytes::Bytes;
use check::{Asked, check};
use client::Upstreams;
use headers::Via;
use http_body::Body as _;
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::{body::Incoming, upgrade::OnUpgrade};
pub(crate) use path::plain;
use refusal::Refusal;
use tower::{Layer, ServiceExt};
use tower_token_refresh::{BearerLayer, Clock, LoginTokens, RefreshError};

use super::{
    cookies::CookieNames,
    settings::{BaseUrl, Settings, Upstream},
};

/// The largest body that is kept for a second time, in bytes: a form or some JSON.
const KEPT: u64 = 16 * 1024;

/// How long the upstream has, at the least, after a refresh that took as long as it may.
const AFTER_REFRESH: Duration = Duration::from_secs(15);

/// A body that was kept, or one that passes through.
type Sent = Either<Full<Bytes>, Limited<Body>>;

/// What a request may use up.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most a request's body may hold, in bytes: no browser form needs more, and an upload that
    /// does is not for `/api`.
    pub request_body: usize,
    /// The longest a connection may take: the upstream is near.
    pub connect: Duration,
    /// The longest from the request's first byte to the head of the answer, the request's body and
    /// a refresh on the way included. What comes after may take as long as it likes.
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

impl Limits {
    /// A token request that may take longer than usual is waited for.
    pub fn of(settings: &Settings) -> Self {
        let usual = Self::default();
        let refresh = settings.refresh.request_timeout.unwrap_or_default();
        Self { answer: usual.answer.max(refresh + AFTER_REFRESH), ..usual }
    }
}

pub(crate) struct Proxy {
    client: Upstreams,
    /// Longest prefix first.
    backends: Vec<Backend>,
    via: Via,
    limits: Limits,
}

impl Proxy {
    /// An error is one line.
    pub fn new(
        upstreams: &[Upstream],
        base: &BaseUrl,
        names: CookieNames,
        clock: &Clock,
        limits: Limits,
    ) -> Result<Self, String> {
        let client = client::new(upstreams, limits.connect)
            .map_err(|error| format!("UPSTREAM_URL: https cannot be spoken: {error}"))?;
        let backend = |upstream| Backend::new(upstream, base, names, clock.clone());
        let backends = upstreams.iter().map(backend).collect::<Result<_, _>>();
        let backends = backends.map_err(|error| format!("the settings cannot work: {error}"))?;
        Ok(Self { client, backends, via: Via::new(base, names), limits })
    }

    async fn forward(
        &self,
        tokens: LoginTokens,
        peer: SocketAddr,
        mut request: Request,
    ) -> Result<Response, Refusal> {
        let browser = hyper::upgrade::on(&mut request);
        let (mut head, body) = request.into_parts();
        let asked = check(&head)?;
        if body.size_hint().lower() > self.limits.request_body as u64 {
            return Err(Refusal::BodyTooLarge);
        }
        let (backend, target) = self.target(&head.uri)?;
        let there = target.clone();
        self.via.outbound(&mut head.headers, peer);
        if asked == Asked::WebSocket {
            web_socket::name_it(&mut head.headers);
        }

        let client = BearerLayer::new(tokens.clone(), &backend.api).layer(self.client.clone());
        let answer = async {
            let mut outbound = Request::new(self.kept_or_streamed(body).await?);
            *outbound.method_mut() = head.method;
            *outbound.uri_mut() = target;
            *outbound.headers_mut() = head.headers;
            Ok(client.oneshot(outbound).await)
        };
        let answer = tokio::time::timeout(self.limits.answer, answer).await;
        let answer = match answer.map_err(|_| Refusal::TooSlow)?? {
            Ok(answer) => answer,
            Err(error) => match error.downcast::<RefreshError>() {
                Ok(no_token) => return Ok(no_token.into_response()),
                Err(error) => return Err(Refusal::of(&error)),
            },
        };

        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            return switched((backend, there.path()), asked, browser, answer, tokens);
        }
        // Whoever believes the other one takes a part of this answer for the next one (RFC 9112,
        // section 6.3).
        if answer.headers().contains_key(header::TRANSFER_ENCODING)
            && answer.headers().contains_key(header::CONTENT_LENGTH)
        {
            return Err(Refusal::TwoLengths);
        }
        let (head, body) = answer.into_parts();
        let mut response = Response::new(until_end::body(&head.headers, body, &tokens));
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        backend.inbound(there.path(), response.headers_mut());
        Ok(response)
    }

    /// Which upstream a path leads to, and where there. The path has one reading, so that whoever
    /// serves it takes it for the same.
    fn target(&self, asked: &Uri) -> Result<(&Backend, Uri), Refusal> {
        let (backend, below) = self.backend(asked.path()).ok_or(Refusal::Path)?;
        if !path::is_canonical(below) {
            return Err(Refusal::Path);
        }
        // Another spelling of the path does not lead past the upstream that it is for.
        if self.backends.len() > 1 {
            let plain = path::plain(asked.path());
            if !self.backend(&plain).is_some_and(|(meant, _)| std::ptr::eq(meant, backend)) {
                return Err(Refusal::Path);
            }
        }
        Ok((backend, backend.target(below, asked.query())?))
    }

    fn backend<'a>(&self, path: &'a str) -> Option<(&Backend, &'a str)> {
        self.backends.iter().find_map(|backend| Some((backend, backend.below(path)?)))
    }

    async fn kept_or_streamed(&self, body: Body) -> Result<Sent, Refusal> {
        // One that does not say its length may never end.
        if body.size_hint().upper().is_none_or(|most| most > KEPT) {
            return Ok(Either::Right(Limited::new(body, self.limits.request_body)));
        }
        let kept = body.collect().await.map_err(|_| Refusal::BadRequestBody)?;
        Ok(Either::Left(Full::new(kept.to_bytes())))
    }
}

/// The upstream speaks another protocol from now on, if that is the one that was asked for.
fn switched(
    (backend, path): (&Backend, &str),
    asked: Asked,
    browser: OnUpgrade,
    mut answer: http::Response<Incoming>,
    tokens: LoginTokens,
) -> Result<Response, Refusal> {
    if asked != Asked::WebSocket || !web_socket::is_agreed(answer.headers()) {
        return Err(Refusal::NoAnswer);
    }
    web_socket::join(browser, hyper::upgrade::on(&mut answer), tokens);
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    *response.headers_mut() = std::mem::take(answer.headers_mut());
    backend.inbound(path, response.headers_mut());
    web_socket::name_it(response.headers_mut());
    Ok(response)
}

/// What was kept can be sent again.
fn again(body: &Sent) -> Option<Sent> {
    match body {
        Either::Left(kept) => Some(Either::Left(kept.clone())),
        Either::Right(_) => None,
    }
}

/// `/api/{*path}`, all methods.
pub(crate) async fn forward(
    State(proxy): State<Arc<Proxy>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    tokens: LoginTokens,
    request: Request,
) -> Response {
    proxy.forward(tokens, peer, request).await.unwrap_or_else(IntoResponse::into_response)
}
