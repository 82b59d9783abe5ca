//! The backend-for-frontend of `examples/bff` as a whole, built as its image is, as a process
//! of its own.
//!
//! 1. Throughput with a valid token: `wrk` against the upstream, the bff in front of it, and nginx
//!    in its place, in turns.
//! 2. The storm at expiry: how long a lone refresh takes, N plain requests at once, and N requests
//!    at once that need a refresh.
//!
//! `benches/bff/run` starts what this needs: `wrk`, nginx, and an oidc-provider whose token
//! endpoint can be slowed down. What is missing is said and left out.

#[path = "../common/mod.rs"]
mod common;
mod nginx;
mod processes;
mod storm;
mod throughput;
mod upstream;
mod visitor;

use std::env;

use support::bff;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    if env::args().any(|argument| argument == processes::SERVE_UPSTREAM) {
        return upstream::serve().await;
    }
    let bff = bff::build(&["--profile", "dist"]);
    throughput::measure(&bff).await;
    storm::measure(&bff).await;
}
