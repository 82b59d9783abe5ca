//! One refresh for any number of requests, and what becomes of it when things go wrong.

mod activity;
mod cancellation;
mod confirm;
mod dropped_clients;
mod eviction;
mod failing_store;
mod failures;
mod faster_process;
mod lifetimes;
mod lost_writes;
mod newer_than;
mod newer_token;
mod second_process;
mod single_flight;
mod unreadable;
mod unsaved;
mod unsaved_and_ended;

/// For so long the answer to a refresh that was clearly refused is the answer to whoever asks.
const PAUSE: std::time::Duration = std::time::Duration::from_secs(1);
