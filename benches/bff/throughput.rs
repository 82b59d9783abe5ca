//! `wrk` with 32 connections: what of the upstream's own rate is left behind the bff, and how that
//! compares with nginx as a plain reverse proxy without any authentication.

use std::{path::Path, time::Duration};

use support::bff::Running;
use tokio::process::Command;
use tower_token_refresh::testing::StrictIssuer;

use crate::{
    common::{Samples, verdict},
    nginx,
    processes::start_upstream,
    visitor::Visitor,
};

const ROUNDS: usize = 5;
const GOAL: f64 = 0.33;
const GOAL_OF_NGINX: f64 = 0.65;
const SECONDS_EACH: &str = "5s";

pub async fn measure(bff: &Path) {
    println!(
        "\nthroughput with a valid token: wrk -t1 -c32, {ROUNDS} rounds of {SECONDS_EACH} each, in turns"
    );
    if Command::new("wrk").arg("-v").output().await.is_err() {
        println!("  not measured: wrk is not installed");
        return;
    }
    let issuer = StrictIssuer::builder().access_token_lifetime(Duration::from_secs(3600)).build();
    let provider = issuer.serve().await.expect("a free port");
    let upstream = start_upstream().await;
    let bff = Running::start(bff, &provider.issuer_url(), "web", &upstream.url, &[]).await;
    let visitor = Visitor::log_in(&bff).await;

    let nginx = nginx::start(&upstream.url).await;
    let plain = nginx.as_ref().map(|nginx| format!("{}/orders", nginx.url));

    let (mut direct, mut through, mut by_nginx) =
        (Samples::default(), Samples::default(), Samples::default());
    for _ in 0..ROUNDS {
        direct.0.push(requests_per_second(&format!("{}/orders", upstream.url), None).await);
        through.0.push(requests_per_second(&visitor.api, Some(&visitor)).await);
        if let Some(plain) = &plain {
            by_nginx.0.push(requests_per_second(plain, None).await);
        }
    }
    println!("  upstream alone      {:>8.0} requests/s", direct.median());
    println!("  through the bff     {:>8.0} requests/s", through.median());
    against("upstream", &through.per_round(&direct), GOAL);
    if plain.is_some() {
        println!("  through nginx       {:>8.0} requests/s", by_nginx.median());
        against("nginx", &through.per_round(&by_nginx), GOAL_OF_NGINX);
    } else {
        println!("  through nginx       not measured: nginx is not installed");
    }
}

fn against(what: &str, ratio: &Samples, goal: f64) {
    let (low, high) = ratio.spread();
    let median = ratio.median();
    let met = verdict(median >= goal);
    println!(
        "  bff / {what:<13} {median:>8.2} (p10-p90 {low:.2}-{high:.2}), goal >= {goal:.2}: {met}"
    );
}

async fn requests_per_second(url: &str, visitor: Option<&Visitor>) -> f64 {
    let mut wrk = Command::new("wrk");
    wrk.args(["-t1", "-c32", "-d", SECONDS_EACH]);
    if let Some(visitor) = visitor {
        wrk.arg("-H").arg(format!("Cookie: {}", visitor.cookie));
    }
    let output = wrk.arg(url).output().await.expect("wrk runs");
    let report = String::from_utf8(output.stdout).expect("ASCII");
    assert!(!report.contains("Non-2xx") && !report.contains("Socket errors"), "{report}");
    let line = report.lines().find_map(|line| line.strip_prefix("Requests/sec:")).expect("a rate");
    line.trim().parse().expect("a number")
}
