//! What the people who run an application want to know of it: whether it is
//! [well](crate::TokenRefresher::health), what it [has done](crate::TokenRefresher::stats), and
//! which [refreshes](crate::TokenRefresher::snapshot) are under way.
//!
//! `docs/operations.md` has the metrics, the log and the audit lines.

#[cfg(feature = "config")]
mod config;
mod flight;
mod health;
#[cfg(feature = "inspect")]
mod inspect;
mod numbers;
#[cfg(feature = "axum")]
mod routes;

#[cfg(feature = "config")]
pub use self::config::RefreshConfig;
#[cfg(feature = "inspect")]
pub use self::inspect::from_loopback;
pub use self::{
    flight::{Flight, Stage},
    health::{Health, Probe},
    numbers::{Flights, Served, Snapshot, Stats},
};
pub use crate::endpoint::BreakerState;
