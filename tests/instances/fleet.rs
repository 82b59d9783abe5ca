//! Several processes of the bff before one provider and one API. Each reaches the shared store by a
//! way of its own, which can be cut.

use std::{path::PathBuf, sync::OnceLock, time::Duration};

use axum::Router;
use futures_util::future::join_all;
use support::{
    bff::{self, Running},
    providers::{Refreshes, User, service},
    way::Way,
};
use tokio::time::{sleep, timeout};
use tower_token_refresh::{
    Clock,
    testing::{Endpoint, Gate, IssuerServer, StrictIssuer},
};
use url::Url;

use crate::{
    api,
    report::{self, Answers},
    visitor::Visitor,
    wire::{Answer, Load, Storm, ask},
};

/// So that a hang fails a test; nothing else hangs on it.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// What a token says of its life that a test does not wait for the end of.
pub const LONG: u64 = 300;

/// Where the processes keep sessions and tokens.
#[derive(Clone, Copy, Debug)]
pub enum Store {
    Redis,
    Postgres,
}

/// Environment variables of one process.
pub type Settings<'a> = &'a [(&'a str, &'a str)];

/// With these a mark is respected for nine seconds: these two, and five.
pub const SHORT: Settings<'static> =
    &[("REFRESH_REQUEST_TIMEOUT", "2s"), ("REFRESH_STORE_TIMEOUT", "2s")];

/// The processes, and their ways to the store.
pub struct Processes {
    pub store: Store,
    pub running: Vec<Running>,
    pub ways: Vec<Way>,
}

/// Processes at a strict provider.
pub struct Fleet {
    pub processes: Processes,
    provider: IssuerServer,
}

impl Processes {
    /// One for each of these settings, all started at once, as a deployment does.
    pub async fn start(
        store: Store,
        issuer_url: &str,
        client_id: &str,
        settings: &[Settings<'_>],
    ) -> Self {
        static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
        let program = PROGRAM.get_or_init(|| bff::build(&[]));
        let api = &api::serve(Router::new()).await;
        let (variable, server) = match store {
            Store::Redis => ("REDIS_URL", service("TEST_REDIS_URL")),
            Store::Postgres => ("DATABASE_URL", service("TEST_POSTGRES_URL")),
        };
        let server: &Url = &server.parse().expect("a URL");
        let started = settings.iter().map(|settings| async move {
            let way = Way::to(server).await;
            let mut url = server.clone();
            url.set_port(Some(way.address.port())).expect("a server's URL has a port");
            let settings = [&[(variable, url.as_str())], *settings].concat();
            let running = Running::start(program, issuer_url, client_id, api, &settings).await;
            (running, way)
        });
        let (running, ways) = join_all(started).await.into_iter().unzip();
        Self { store, running, ways }
    }

    pub fn urls(&self) -> Vec<&str> {
        self.running.iter().map(|process| &*process.url).collect()
    }

    /// These requests, spread over all processes.
    pub async fn storm(&self, visitor: &Visitor, load: Load) -> Answers {
        Storm::begin(&self.urls(), visitor, load).answers().await
    }

    /// Each process has taken notice of what was sent to it before.
    pub async fn are_awake(&self) {
        for url in self.urls() {
            let health = reqwest::get(format!("{url}/healthz")).await.expect("an answer");
            assert!(health.status().is_success());
        }
    }
}

impl Fleet {
    /// At a provider whose tokens are good for longer than a test runs; what they say of
    /// themselves is up to the test.
    pub async fn start(store: Store, settings: &[Settings<'_>]) -> Self {
        let issuer = StrictIssuer::builder().access_token_lifetime(Duration::from_secs(LONG));
        Self::at(issuer.build(), store, settings).await
    }

    pub async fn at(issuer: StrictIssuer, store: Store, settings: &[Settings<'_>]) -> Self {
        let provider = issuer.serve().await.expect("a free port");
        let issuer_url = provider.issuer_url();
        let processes = Processes::start(store, &issuer_url, "web", settings).await;
        Self { processes, provider }
    }

    pub fn issuer(&self) -> &StrictIssuer {
        self.provider.issuer()
    }

    pub fn url(&self, process: usize) -> &str {
        &self.processes.running[process].url
    }

    /// Somebody who logs in at the first process, with a token that says it lives for `seconds`.
    pub async fn log_in(&self, name: &str, seconds: u64) -> Visitor {
        self.log_in_by(self.url(0), name, seconds).await
    }

    pub async fn log_in_by(&self, url: &str, name: &str, seconds: u64) -> Visitor {
        self.issuer().expires_in_next(seconds);
        let user = User { name: name.to_owned(), subject: self.issuer().subject_of(name) };
        Visitor::log_in(url, &user).await
    }

    /// The provider's own count, of all users.
    pub fn posts(&self) -> Refreshes {
        let granted = self.issuer().refreshes();
        Refreshes { granted, refused: self.issuer().refresh_requests() - granted }
    }

    /// These requests, after the token has expired. The provider has granted the refresh, and its
    /// answer is held back until every request has been written and every process is awake.
    pub async fn storm(&self, urls: &[&str], visitor: &Visitor, load: Load) -> Answers {
        let gate = self.issuer().gate_after(Endpoint::Token);
        let mut storm = Storm::begin(urls, visitor, load);
        storm.written().await;
        self.processes.are_awake().await;
        reached(&gate).await;
        gate.open();
        storm.answers().await
    }

    pub async fn ask(&self, process: usize, visitor: &Visitor) -> Answer {
        ask(self.url(process), visitor).await
    }

    /// Asks until the answer is not a 503; gives that one and, before it, all others.
    pub async fn ask_until_decided(&self, process: usize, visitor: &Visitor) -> Answers {
        self.ask_until(process, visitor, |answer| answer.status != 503).await
    }

    pub async fn ask_until(
        &self,
        process: usize,
        visitor: &Visitor,
        enough: impl Fn(&Answer) -> bool,
    ) -> Answers {
        let mut answers = Answers::default();
        let asking = async {
            loop {
                let answer = self.ask(process, visitor).await;
                let decided = enough(&answer);
                answers.0.push(answer);
                if decided {
                    return;
                }
                sleep(Duration::from_millis(200)).await;
            }
        };
        let asked = timeout(PATIENCE, asking).await;
        assert!(asked.is_ok(), "no end of it: {answers}");
        answers
    }

    /// The access token that a request shows is good at the provider, and its user's newest.
    pub fn assert_live(&self, token: &str) {
        assert!(self.issuer().is_access_token_live(token), "the provider takes the token");
    }

    /// No process has logged a token.
    pub fn assert_nothing_logged(&self) {
        let secrets = self.issuer().every_secret();
        for process in &self.processes.running {
            let log = process.log();
            assert!(!secrets.iter().any(|secret| log.contains(secret)), "a log shows a token");
        }
    }

    pub fn row(&self, scene: &str, got: &Answers, recovery: f64) {
        report::row(scene, self.processes.store, self.posts(), got, recovery);
    }
}

/// Waits until a request stands at the gate.
pub async fn reached(gate: &Gate) {
    timeout(PATIENCE, gate.reached()).await.expect("a request comes to the provider");
}

/// Until a token that says it lives for `seconds` counts as expired in every process: the leeway is
/// a quarter of so short a life.
pub async fn until_expired(seconds: u64) {
    sleep(Duration::from_millis(seconds * 750 + 100)).await;
}

/// Real time, for the table.
pub struct Stopwatch(Clock, Duration);

impl Stopwatch {
    pub fn start() -> Self {
        let clock = Clock::system();
        let began = clock.monotonic();
        Self(clock, began)
    }

    pub fn seconds(&self) -> f64 {
        (self.0.monotonic() - self.1).as_secs_f64()
    }
}
