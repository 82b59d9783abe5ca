//! Every lock service keeps what `LockService` promises, whatever it keeps its locks in.
//!
//! Those behind servers need them:
//! `tests/services/run redis postgres -- cargo test --test lock_contract -- --include-ignored`.

mod contract;
mod fake;
mod leases;
mod services;
