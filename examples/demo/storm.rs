//! The browser: logs in, waits until its token has expired, and sends everything at once.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use axum::{Router, http::StatusCode};
use reqwest::{
    Client,
    header::{COOKIE, SET_COOKIE},
};
use tokio::{net::TcpListener, task::JoinSet};
use tower_token_refresh::testing::{IssuerServer, ManualClock, StrictIssuer};

use crate::{REQUESTS, TOKEN_LIVES};

pub struct Outcome {
    pub token_requests: usize,
    pub failed: usize,
    pub median: Duration,
    pub slowest: Duration,
    pub still_logged_in: bool,
}

/// The API behind the application: it serves who shows a token that the provider accepts.
pub fn orders_of(issuer: &StrictIssuer, access_token: &str) -> StatusCode {
    if issuer.is_access_token_live(access_token) { StatusCode::OK } else { StatusCode::BAD_GATEWAY }
}

/// A browser with the session cookie of an application that is served for it.
#[derive(Clone)]
pub struct Visitor {
    client: Client,
    base: String,
    cookie: String,
}

impl Visitor {
    pub async fn log_in(app: Router) -> Result<Self, Box<dyn Error>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let base = format!("http://{}", listener.local_addr()?);
        tokio::spawn(async move { axum::serve(listener, app).await });
        let client = Client::new();
        let answer = client.post(format!("{base}/login")).send().await?.error_for_status()?;
        let cookie = answer.headers().get(SET_COOKIE).ok_or("no session cookie")?.to_str()?;
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        Ok(Self { client, base, cookie })
    }

    pub async fn orders(&self) -> reqwest::Result<StatusCode> {
        let request = self.client.get(format!("{}/orders", self.base)).header(COOKIE, &self.cookie);
        Ok(request.send().await?.status())
    }
}

#[expect(clippy::disallowed_methods, reason = "a browser has a clock of its own")]
pub async fn run(
    app: Router,
    provider: &IssuerServer,
    clock: &ManualClock,
) -> Result<Outcome, Box<dyn Error>> {
    let visitor = Visitor::log_in(app).await?;
    clock.advance(TOKEN_LIVES);
    let mut storm = JoinSet::new();
    for _ in 0..REQUESTS {
        let visitor = visitor.clone();
        storm.spawn(async move {
            let sent = Instant::now();
            (visitor.orders().await, sent.elapsed())
        });
    }
    let answers = storm.join_all().await;

    let mut times: Vec<_> = answers.iter().map(|(_, time)| *time).collect();
    times.sort();
    let failed = answers.iter().filter(|(status, _)| !matches!(status, Ok(StatusCode::OK))).count();
    let token_requests = provider.issuer().token_requests();

    clock.advance(TOKEN_LIVES);
    let still_logged_in = visitor.orders().await? == StatusCode::OK;
    Ok(Outcome {
        token_requests,
        failed,
        median: times[REQUESTS / 2],
        slowest: times[REQUESTS - 1],
        still_logged_in,
    })
}
