//! The storm at expiry, against a lone refresh and against as many plain requests, in the same run.
//!
//! The goal: the 99th percentile of N requests that need a refresh is at most a lone refresh and
//! 1.3 times what the 99th percentile of N plain requests is. And a leader that disconnects at two
//! thirds of the provider's time costs the others under 20 ms.

use std::{
    env,
    path::Path,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde_json::Value;
use support::bff::Running;
use tokio::time::sleep;

use crate::{
    common::{Samples, verdict},
    processes::start_upstream,
    visitor::Visitor,
};

const ROUNDS: usize = 5;
const SHARE_OF_PLAIN: f64 = 1.3;
const LEADER_COSTS: f64 = 20.0;

struct Case {
    callers: usize,
    provider_takes: Duration,
    /// Long enough that a token is still fresh when the provider has taken its time.
    token_seconds: u64,
}

const fn case(callers: usize, milliseconds: u64, token_seconds: u64) -> Case {
    Case { callers, provider_takes: Duration::from_millis(milliseconds), token_seconds }
}

pub async fn measure(bff: &Path) {
    println!("\nthe storm at expiry: oidc-provider, medians of {ROUNDS} rounds, p99 in ms");
    let Ok(issuer_url) = env::var("TEST_OIDC_PROVIDER_URL") else {
        println!("  not measured: run it by benches/bff/run, which starts an oidc-provider");
        return;
    };
    let upstream = start_upstream().await;
    let scene = Scene {
        bff: Running::start(bff, &issuer_url, "web", &upstream.url, &[]).await,
        issuer_url,
        http: reqwest::Client::new(),
    };
    println!(
        "  {:>7} {:>9} {:>8} {:>8} {:>8} {:>8}",
        "callers", "provider", "lone", "plain", "storm", "goal"
    );
    for case in [case(50, 100, 4), case(500, 100, 4), case(50, 3000, 8)] {
        scene.storm(&case).await;
    }
    scene.leader_leaves(&case(50, 300, 4)).await;
}

struct Scene {
    bff: Running,
    issuer_url: String,
    http: reqwest::Client,
}

impl Scene {
    async fn storm(&self, case: &Case) {
        let visitor = self.prepare(case).await;
        // Connections are opened here, not in what is measured.
        at_once(&visitor, case.callers).await;
        let (mut lone, mut plain, mut storm) =
            (Samples::default(), Samples::default(), Samples::default());
        for _ in 0..ROUNDS {
            lone.0.push(self.after_expiry(case, at_once(&visitor, 1)).await);
            plain.0.push(p99(at_once(&visitor, case.callers).await));
            storm.0.push(self.after_expiry(case, at_once(&visitor, case.callers)).await);
        }
        let goal = lone.median() + SHARE_OF_PLAIN * plain.median();
        println!(
            "  {:>7} {:>9} {:>8.1} {:>8.1} {:>8.1} {:>8.1} {}",
            case.callers,
            case.provider_takes.as_millis(),
            lone.median(),
            plain.median(),
            storm.median(),
            goal,
            verdict(storm.median() <= goal)
        );
    }

    async fn leader_leaves(&self, case: &Case) {
        let visitor = self.prepare(case).await;
        at_once(&visitor, case.callers).await;
        let (mut stays, mut leaves) = (Samples::default(), Samples::default());
        for _ in 0..ROUNDS {
            for (leaving, samples) in [(false, &mut stays), (true, &mut leaves)] {
                samples.0.push(self.after_expiry(case, led(&visitor, case, leaving)).await);
            }
        }
        let costs = leaves.median() - stays.median();
        println!(
            "  a leader that disconnects at 2/3 of {} ms: the others' p99 is {:.1}, {:.1} if it stays; goal < {LEADER_COSTS} more: {}",
            case.provider_takes.as_millis(),
            leaves.median(),
            stays.median(),
            verdict(costs < LEADER_COSTS)
        );
    }

    /// Sets the provider up and logs somebody in.
    async fn prepare(&self, case: &Case) -> Visitor {
        self.control("access-token-seconds", case.token_seconds).await;
        self.control("delay", 0).await;
        let visitor = Visitor::log_in(&self.bff).await;
        self.control("delay", case.provider_takes.as_millis() as u64).await;
        visitor
    }

    /// The p99 of requests made once the token has expired; the provider must have granted one
    /// refresh for them.
    async fn after_expiry(&self, case: &Case, requests: impl Future<Output = Vec<f64>>) -> f64 {
        // The leeway is a quarter of so short a life, counted from when the last refresh was sent;
        // that is over by now at most.
        sleep(Duration::from_millis(case.token_seconds * 750 + 100)).await;
        let before = self.refreshes().await;
        let times = requests.await;
        let after = self.refreshes().await;
        assert_eq!(after, (before.0 + 1, before.1), "(granted, refused) after a storm");
        p99(times)
    }

    async fn refreshes(&self) -> (u64, u64) {
        let url = format!("{}/control/accounts/alice", self.issuer_url);
        let counts: Value =
            self.http.get(url).send().await.expect("an answer").json().await.expect("JSON");
        (
            counts["granted"].as_u64().expect("a number"),
            counts["refused"].as_u64().expect("a number"),
        )
    }

    async fn control(&self, what: &str, value: u64) {
        let url = format!("{}/control/{what}", self.issuer_url);
        let answer = self.http.put(url).body(value.to_string()).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{what}");
    }
}

/// How long each of `count` requests at once took, in milliseconds.
async fn at_once(visitor: &Visitor, count: usize) -> Vec<f64> {
    join_all((0..count).map(|_| timed(visitor))).await
}

/// The others' times, where the first request comes before them and, perhaps, goes away.
async fn led(visitor: &Visitor, case: &Case, leaving: bool) -> Vec<f64> {
    let leader = Visitor {
        http: reqwest::Client::new(),
        api: visitor.api.clone(),
        cookie: visitor.cookie.clone(),
    };
    let stays_for = if leaving { case.provider_takes * 2 / 3 } else { Duration::MAX };
    let leader = tokio::spawn(async move { tokio::time::timeout(stays_for, leader.ask()).await });
    sleep(Duration::from_millis(10)).await;
    let times = at_once(visitor, case.callers - 1).await;
    assert_eq!(leader.await.expect("no panic").is_err(), leaving, "the leader leaves if it should");
    times
}

async fn timed(visitor: &Visitor) -> f64 {
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures")]
    let started = Instant::now();
    visitor.ask().await.expect("every caller is served");
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures")]
    let took = started.elapsed();
    took.as_secs_f64() * 1000.0
}

fn p99(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[(times.len() * 99).div_ceil(100) - 1]
}
