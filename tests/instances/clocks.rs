//! The clocks of two processes are ten minutes apart: one of them runs under libfaketime, which
//! leaves its monotonic time alone.

use std::{fs, path::PathBuf, time::Duration};

use support::bff::Running;
use tokio::time::interval;
use tower_token_refresh::testing::StrictIssuer;

use crate::{
    fleet::{Fleet, Store},
    on_each_server,
    report::Answers,
};

/// How long access tokens live, by the provider's clock, which is right.
const SECONDS: u64 = 4;
/// For six of these lives.
const ROUNDS: usize = 96;
const BETWEEN_ROUNDS: Duration = Duration::from_millis(250);

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

/// The second process's clock is off by `offset`. Each reads the life of the other's tokens by the
/// store's clock.
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

    let (mut all, mut dead) = (Answers::default(), [0, 0]);
    let mut pulse = interval(BETWEEN_ROUNDS);
    for _ in 0..ROUNDS {
        pulse.tick().await;
        for (process, dead) in dead.iter_mut().enumerate() {
            let answer = fleet.ask(process, &visitor).await;
            assert_eq!(answer.status, 200, "process {process}");
            *dead += usize::from(!fleet.issuer().is_access_token_live(&answer.body));
            all.0.push(answer);
        }
    }
    let posts = fleet.posts();
    assert!(posts.granted > 0);
    assert_eq!(posts.refused, 0);
    assert_eq!(fleet.issuer().max_presented(), 1);
    // A token is served for as long as its last second begins; a busy machine may take that long.
    assert!(dead.iter().all(|dead| *dead <= 2), "dead tokens served: {dead:?}");
    let skew = "the clocks of this process and of the token store differ";
    let told = |process: &Running| process.log().matches(skew).count();
    assert_eq!(fleet.processes.running.iter().map(told).collect::<Vec<_>>(), [0, 1]);
    fleet.row(&format!("one clock {offset}; dead tokens served: {dead:?}"), &all, 0.0);
}

on_each_server! {
    async fn a_clock_that_is_ten_minutes_fast(store: Store) {
        both_serve_the_user(store, "+10m").await;
    }

    async fn a_clock_that_is_ten_minutes_slow(store: Store) {
        both_serve_the_user(store, "-10m").await;
    }
}
