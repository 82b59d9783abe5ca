//! Servers that die, sleep, fail over, come back empty or are far away, while two processes serve
//! ten users whose tokens live for seconds. Each test starts servers of its own, and prints what
//! its fault cost: `cargo test --test faults -- --include-ignored --nocapture --test-threads 1`.
//!
//! They need the programs of `tests/services/run --install redis postgres pgbouncer`.

mod commands;
mod postgres;
mod proxy;
mod redis;
mod redis_cluster;
mod redis_tls;
mod scene;
mod sentinel;
mod servers;
mod silence;
mod sqlite;
