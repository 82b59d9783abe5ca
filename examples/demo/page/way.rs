//! One of the two ways to refresh: its processes, its provider, and its user's session.
//!
//! Everything is in this process, so that a thousand requests need no thousand sockets: a request
//! goes straight to the router, and a token request straight to the provider. A client that goes
//! away is a request that is dropped, as a server drops it.

use std::{io, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{Request, Response, StatusCode, header},
};
use http_body_util::Full;
use tokio::task_local;
use tower::ServiceExt;
use tower_token_refresh::{
    ClientAuth, ConfigError, TokenEndpoint, TokenRefresher, Transport,
    testing::{MemoryTokens, StrictIssuer},
    tower_sessions::MemoryStore,
};
use tracing::Instrument;

use super::{
    board::{Counts, Recorder},
    leaders::request_span,
    time::SkippingClock,
};
use crate::{TOKEN_LIVES, naive, ours};

task_local! {
    /// Which request this task works for.
    static REQUEST: usize;
}

pub struct Way {
    apps: Vec<Router>,
    /// Of the naive way there are none.
    pub refreshers: Vec<TokenRefresher>,
    pub issuer: StrictIssuer,
    pub clock: SkippingClock,
    pub recorder: Recorder,
}

impl Way {
    /// Every process with a refresher of its own, over one store that compares and swaps, and that
    /// tells the others of changes, as Redis and PostgreSQL do.
    pub fn ours(processes: usize, requests: usize) -> Result<Self, ConfigError> {
        let mut way = Self::new(requests);
        let (sessions, tokens) = (MemoryStore::default(), MemoryTokens::new().telling());
        for process in 0..processes {
            let (issuer, recorder) = (way.issuer.clone(), way.recorder.clone());
            let transport = Transport::new(tower::service_fn(move |request| {
                let answer = post(issuer.clone(), recorder.clone(), process, request);
                async { answer.await.map(|answer| answer.map(Full::new)) }
            }));
            let auth = ClientAuth::basic("web", "secret");
            let endpoint = TokenEndpoint::new(way.issuer.token_url(), auth)
                .issuer(way.issuer.issuer_url())
                .revocation_url(way.issuer.revocation_url())
                .transport(transport);
            let refresher = TokenRefresher::builder(endpoint, sessions.clone())
                .token_store(tokens.clone())
                .clock(way.clock.clock())
                .build()?;
            way.apps.push(ours::router(way.issuer.clone(), &refresher));
            way.refreshers.push(refresher);
        }
        Ok(way)
    }

    /// Every process over one session store.
    pub fn naive(processes: usize, requests: usize) -> Self {
        let mut way = Self::new(requests);
        let sessions = MemoryStore::default();
        for process in 0..processes {
            let (issuer, recorder) = (way.issuer.clone(), way.recorder.clone());
            let post: naive::Post = Arc::new(move |form| {
                let request = token_request(&issuer, form);
                let answer = post(issuer.clone(), recorder.clone(), process, request);
                Box::pin(async move {
                    let answer = answer.await.ok()?;
                    answer.status().is_success().then(|| answer.into_body())
                })
            });
            let (issuer, clock) = (way.issuer.clone(), way.clock.clock());
            way.apps.push(naive::router(issuer, post, clock, sessions.clone()));
        }
        way
    }

    fn new(requests: usize) -> Self {
        let clock = SkippingClock::new();
        let issuer =
            StrictIssuer::builder().clock(clock.clock()).access_token_lifetime(TOKEN_LIVES).build();
        let recorder = Recorder::new(clock.clock(), requests);
        Self { apps: Vec::new(), refreshers: Vec::new(), issuer, clock, recorder }
    }

    /// The process that this request comes to.
    pub fn process_of(&self, number: usize) -> usize {
        number % self.apps.len()
    }

    /// Gives the session's cookie.
    pub async fn log_in(&self) -> Option<String> {
        let answer = self.ask(0, Request::post("/login")).await;
        let cookie = answer.headers().get(header::SET_COOKIE)?.to_str().ok()?;
        cookie.split(';').next().map(str::to_owned)
    }

    pub async fn orders(&self, number: usize, cookie: &str) -> StatusCode {
        let request = Request::get("/orders").header(header::COOKIE, cookie);
        let answer = self.ask(self.process_of(number), request).instrument(request_span(number));
        REQUEST.scope(number, answer).await.status()
    }

    pub async fn log_out(&self, cookie: &str) -> StatusCode {
        self.ask(0, Request::post("/logout").header(header::COOKIE, cookie)).await.status()
    }

    async fn ask(&self, process: usize, request: http::request::Builder) -> Response<Body> {
        let request = request.body(Body::empty()).expect("a path and a cookie");
        let Ok(answer) = self.apps[process].clone().oneshot(request).await;
        answer
    }

    pub fn counts(&self) -> Counts {
        // The tokens of the login are the first ones that were issued, and name its session.
        let login = self.issuer.every_secret().into_iter().next();
        Counts {
            token_requests: self.issuer.token_requests(),
            refreshes: self.issuer.refreshes(),
            login_alive: login.is_some_and(|token| self.issuer.session_alive(&token)),
        }
    }
}

fn token_request(issuer: &StrictIssuer, form: String) -> Request<Bytes> {
    Request::post(issuer.token_url())
        // `web:secret`.
        .header(header::AUTHORIZATION, "Basic d2ViOnNlY3JldA==")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(form.into())
        .expect("a URL and a form")
}

/// To the provider and back. What goes to its token endpoint is noted.
async fn post(
    issuer: StrictIssuer,
    recorder: Recorder,
    process: usize,
    request: Request<Bytes>,
) -> io::Result<Response<Bytes>> {
    let place = (request.uri().to_string() == issuer.token_url())
        .then(|| recorder.posted(process, REQUEST.try_with(|request| *request).ok()))
        .flatten();
    let answer = issuer.exchange(request).await?;
    if let Some(place) = place {
        recorder.post_answered(place, answer.status().as_u16());
    }
    Ok(answer)
}
