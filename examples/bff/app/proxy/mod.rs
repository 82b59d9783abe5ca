//! `/api`: each request goes to the upstream with the user's access token, and its answer comes
//! back as it is.
//!
//! If the upstream refuses the token with a 401, the request goes out once more with a newer one,
//! and the browser sees nothing of it. That needs its body again: a small one is kept until then.
//! Larger ones are streamed, as all answers are, and their 401 is passed on.
//!
//! Redirects are the browser's to follow. What is about one connection only stays here, and so do
//! our own cookies: see `headers`, `answer` and `cookies`. What can be read in two ways is refused,
//! as the upstream may read it in the other one: see `path` and `check`.
//!
//! WebSockets and event streams stay open, and end with the login: see `web_socket` and `until_end`.

mod answer;
mod check;
mod cookies;
mod headers;
mod path;
mod refusal;
mod until_end;
mod web_socket;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use answer::Answers;

use axum::{
    body::Body,
    extract::{ConnectInfo, Request, State},
    http::{StatusCode, Uri, header, uri::Scheme},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use check::{Asked, check};
use headers::Via;
use http_body::Body as _;
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use refusal::Refusal;
use tower::{Layer, ServiceExt};
use tower_token_refresh::{ApiHosts, BearerLayer, Clock, ConfigError, LoginTokens, RefreshError};

use super::{
    cookies::CookieNames,
    settings::{BaseUrl, Upstream},
};

/// Below what most servers keep an idle connection for (Node: 5 s), so that no request goes out on
/// one that is being closed.
const IDLE: Duration = Duration::from_secs(4);
/// Idle connections to keep: more than one machine has requests at once.
const IDLE_CONNECTIONS: usize = 512;

/// The largest body that is kept for a second time, in bytes: a form or some JSON.
const KEPT: u64 = 16 * 1024;

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

pub(crate) struct Proxy {
    client: Client<HttpConnector, Sent>,
    api: ApiHosts,
    upstream: Upstream,
    via: Via,
    answers: Answers,
    limits: Limits,
}

impl Proxy {
    pub fn new(
        upstream: &Upstream,
        base: &BaseUrl,
        names: CookieNames,
        clock: Clock,
        limits: Limits,
    ) -> Result<Self, ConfigError> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(limits.connect));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build(connector);
        // It is near, so whoever set it has chosen to go there by http.
        let api = ApiHosts::new([upstream.authority.as_str()])?
            .allow_http_to(upstream.authority.host())?
            .resend_with(again)
            .clock(clock);
        let (via, answers) = (Via::new(base, names), Answers::new(upstream, base, names));
        Ok(Self { client, api, upstream: upstream.clone(), via, answers, limits })
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
        let target = self.target(&head.uri)?;
        self.via.outbound(&mut head.headers, peer);
        if asked == Asked::WebSocket {
            web_socket::name_it(&mut head.headers);
        }

        let client = BearerLayer::new(tokens.clone(), &self.api).layer(self.client.clone());
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
            return self.switched(asked, browser, answer, tokens);
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
        self.answers.inbound(response.headers_mut());
        Ok(response)
    }

    fn switched(
        &self,
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
        self.answers.inbound(response.headers_mut());
        web_socket::name_it(response.headers_mut());
        Ok(response)
    }

    async fn kept_or_streamed(&self, body: Body) -> Result<Sent, Refusal> {
        // One that does not say its length may never end.
        if body.size_hint().upper().is_none_or(|most| most > KEPT) {
            return Ok(Either::Right(Limited::new(body, self.limits.request_body)));
        }
        let kept = body.collect().await.map_err(|_| Refusal::BadRequestBody)?;
        Ok(Either::Left(Full::new(kept.to_bytes())))
    }

    fn target(&self, asked: &Uri) -> Result<Uri, Refusal> {
        let below = asked.path().strip_prefix("/api").ok_or(Refusal::Path)?;
        if !path::is_canonical(below) {
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
