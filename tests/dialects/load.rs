//! Slow and narrow providers: 200 users come at the same moment, with tokens that have expired.
//!
//! Time is tokio's, paused: it passes when everybody waits.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::future::join_all;
use http::Request;
use http_body_util::Full;
use support::{World, tokio_now};
use tokio::time::Instant;
use tower_sessions::session::Id;
use tower_token_refresh::{Clock, TimeSource, TokenRefresher, Transport, testing::StrictIssuer};

use crate::stage::{ask_at, response};

const USERS: usize = 200;
const SECOND: Duration = Duration::from_secs(1);

/// Wall and monotonic time go on with tokio's.
struct TokioTime {
    started: Instant,
    wall: SystemTime,
}

impl TimeSource for TokioTime {
    fn now(&self) -> SystemTime {
        self.wall + self.started.elapsed()
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// Takes `takes` for each request and answers more than `at_once` with 429.
#[derive(Clone)]
struct Narrow {
    issuer: StrictIssuer,
    takes: Duration,
    at_once: usize,
    running: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
}

impl Narrow {
    fn transport(&self) -> Transport {
        let provider = self.clone();
        Transport::new(tower::service_fn(move |request: Request<Bytes>| {
            let provider = provider.clone();
            async move { Ok::<_, io::Error>(provider.answer(request).await.map(Full::new)) }
        }))
    }

    async fn answer(&self, request: Request<Bytes>) -> http::Response<Bytes> {
        if self.running.fetch_add(1, SeqCst) >= self.at_once {
            self.running.fetch_sub(1, SeqCst);
            self.refused.fetch_add(1, SeqCst);
            return response(429, "");
        }
        tokio::time::sleep(self.takes).await;
        self.running.fetch_sub(1, SeqCst);
        self.issuer.handle(request)
    }
}

#[derive(Debug)]
struct Report {
    /// Answers of 503 that a user got before the tokens.
    unavailable: usize,
    /// What the provider answered with 429.
    refused: usize,
    took: Duration,
}

/// Each user asks each process, and comes back when a 503 says so, until there is a token.
async fn storm(takes: Duration, at_once: usize, processes: usize) -> Report {
    let world = World::on_swapping();
    let clock = Clock::new(TokioTime {
        started: tokio_now(),
        wall: world.clock.clock().now() + SECOND * 3600,
    });
    let provider = Narrow {
        issuer: world.issuer.clone(),
        takes,
        at_once,
        running: Arc::default(),
        refused: Arc::default(),
    };
    let mut users: Vec<Id> = Vec::new();
    for user in 0..USERS {
        users.push(world.log_in(&user.to_string()).await);
    }
    let processes: Vec<TokenRefresher> =
        (0..processes).map(|_| process(&world, &provider, &clock)).collect();
    let unavailable = AtomicUsize::new(0);
    let started = tokio_now();
    let asks = users.iter().flat_map(|id| processes.iter().map(|process| (*id, process)));
    let unavailable = &unavailable;
    join_all(asks.map(|(id, process)| async move {
        while let Err(error) = ask_at(process, id).await {
            unavailable.fetch_add(1, SeqCst);
            let wait = error.retry_after().unwrap_or_else(|| panic!("{error:?}"));
            tokio::time::sleep(wait).await;
        }
    }))
    .await;
    let took = started.elapsed();
    for id in users {
        let token = world.stored_refresh_token(id).await.expect("logged in");
        assert!(world.issuer.is_refresh_token_live(&token));
    }
    assert_eq!(world.issuer.refreshes(), USERS);
    let report = Report {
        unavailable: unavailable.load(SeqCst),
        refused: provider.refused.load(SeqCst),
        took,
    };
    eprintln!("{takes:?} each, {at_once} at once, {} process(es): {report:?}", processes.len());
    report
}

fn process(world: &World, provider: &Narrow, clock: &Clock) -> TokenRefresher {
    let endpoint = support::endpoint(&world.issuer).transport(provider.transport());
    TokenRefresher::builder(endpoint, world.sessions.clone())
        .token_store(world.tokens.clone())
        .clock(clock.clone())
        .build()
        .expect("the settings agree")
}

#[tokio::test(start_paused = true)]
async fn a_quick_provider_serves_everybody_at_once() {
    for processes in [1, 2] {
        let report = storm(SECOND / 10, usize::MAX, processes).await;
        assert_eq!(report.unavailable, 0, "{report:?}");
        assert!(report.took < SECOND, "{report:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_takes_5_s_serves_everybody_within_a_requests_wait() {
    for processes in [1, 2] {
        let report = storm(SECOND * 5, usize::MAX, processes).await;
        assert_eq!(report.unavailable, 0, "{report:?}");
        assert!(report.took < SECOND * 7, "{report:?}");
    }
}

/// It could do it in 2 s.
#[tokio::test(start_paused = true)]
async fn a_provider_that_takes_10_at_once_is_found_out_by_one_burst() {
    for processes in [1, 2] {
        let report = storm(SECOND / 10, 10, processes).await;
        assert!(report.refused < USERS / 2 * processes * processes, "{report:?}");
        assert!(report.took < SECOND * 6, "{report:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_refuses_the_65th_is_asked_by_64() {
    for processes in [1, 2] {
        let report = storm(SECOND / 10, 64, processes).await;
        assert!(report.refused < USERS / 4, "{report:?}");
        assert!(report.took < SECOND * 4, "{report:?}");
    }
}
