//! Every token store keeps what `TokenStore` promises, whatever it keeps its records in.
//!
//! The stores behind services need those, each behind its own filter:
//! `tests/services/run redis postgres -- cargo test --test store_contract -- --include-ignored`.

mod concurrency;
mod contract;
mod format;
mod homes;
mod in_sessions;
mod leftovers;
mod postgres;
mod records;
mod redis_sessions;
mod told;
mod unreadable;
