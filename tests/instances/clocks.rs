//! The clocks of two processes are ten minutes apart: one of them runs under libfaketime, which
//! leaves its monotonic time alone.

use std::{fs, path::PathBuf, time::Duration};

use support::providers::Refreshes;
use tower_token_refresh::testing::StrictIssuer;

use crate::{
    fleet::{Fleet, Stopwatch, Store, until_expired},
    on_each_server,
    report::Answers,
    wire::Load,
};

/// How long access tokens live, by the provider's clock, which is right.
const SECONDS: u64 = 8;
const EXPIRIES: usize = 3;
const LOAD: Load = Load { requests: 20, connections: 20 };

/// Where Debian's package puts it, below a folder that is named after the machine.
fn faketime() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").expect("a folder");
    let libraries = folders
        .map(|folder| folder.expect("readable").path().join("faketime").join("libfaketimeMT.so.1"));
    libraries
        .into_iter()
        .find(|library| library.exists())
        .expect("faketime is installed: see tests/services/run")
}

/// The second process's clock is off by `offset`. The user is served by both over three expiries.
async fn both_serve_the_user(store: Store, offset: &str) {
    let library = faketime();
    let skewed = [
        ("LD_PRELOAD", library.to_str().expect("a name")),
        ("FAKETIME", offset),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let life = Duration::from_secs(SECONDS);
    let issuer = StrictIssuer::builder().access_token_lifetime(life).build();
    let fleet = Fleet::at(issuer, store, &[&[], &skewed]).await;
    let visitor = fleet.log_in("alice", SECONDS).await;

    let (mut all, mut slowest) = (Answers::default(), 0_f64);
    for expiry in 1..=EXPIRIES {
        until_expired(SECONDS).await;
        // The token is good for some time, and neither process asks the provider again meanwhile.
        for _ in 0..2 {
            let watch = Stopwatch::start();
            let answers = fleet.processes.storm(&visitor, LOAD).await;
            slowest = slowest.max(watch.seconds());
            let token = answers.assert_all_served();
            fleet.assert_live(token);
            let posts = Refreshes { granted: expiry, refused: 0 };
            assert_eq!(fleet.posts(), posts, "expiry {expiry}");
            all.0.extend(answers.0);
        }
    }
    assert_eq!(fleet.issuer().max_presented(), 1);
    fleet.row(&format!("one clock {offset}, 3 expiries"), &all, slowest);
}

on_each_server! {
    async fn a_clock_that_is_ten_minutes_fast(store: Store) {
        both_serve_the_user(store, "+10m").await;
    }

    async fn a_clock_that_is_ten_minutes_slow(store: Store) {
        both_serve_the_user(store, "-10m").await;
    }
}
