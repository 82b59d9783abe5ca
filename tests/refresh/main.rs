//! One refresh for any number of requests, and what becomes of it when things go wrong.

mod activity;
mod cancellation;
mod dropped_clients;
mod failing_store;
mod failures;
mod faster_process;
mod lifetimes;
mod newer_than;
mod newer_token;
mod single_flight;
