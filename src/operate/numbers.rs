//! What a refresher has done and holds, as numbers.

use serde::Serialize;

use super::Flight;
use crate::Usage;

/// What a [`TokenRefresher`](crate::TokenRefresher) has done since it was built, and what it holds
/// now. The metrics of `docs/operations.md` count the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// What it holds in memory.
    #[serde(flatten)]
    pub usage: Usage,
    /// Refreshes under way.
    pub refreshing: usize,
    /// Tokens given to requests.
    pub served: Served,
    /// Refreshes that ended.
    pub flights: Flights,
    /// Requests whose refresh had ended just before they asked: they got its tokens.
    pub late_callers: u64,
    /// Refresh tokens presented again after a lost answer.
    pub replays: u64,
    /// Logins that began in this process.
    pub logins: u64,
    /// Endings of logins that the token store has taken from this process.
    pub logins_ended: u64,
}

/// Where the tokens came from that requests got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Served {
    /// The cache of this process: they waited for nobody.
    pub from_cache: u64,
    /// A token record that was read.
    pub from_record: u64,
    /// A refresh that they waited for.
    pub from_refresh: u64,
    /// A refresh that failed: they got the token within its leeway, or an
    /// [expired](crate::OnUnavailable) one.
    pub expired: u64,
}

/// How refreshes ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Flights {
    /// With new tokens from the provider.
    pub refreshed: u64,
    /// With newer tokens that the token store had already: nothing was asked of the provider.
    pub already_newer: u64,
    /// Another process refreshes the login.
    pub other_process: u64,
    /// The provider refused a refresh token that another process had presented before.
    pub lost_race: u64,
    /// With an error.
    pub failed: u64,
}

/// The refreshes of one process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// Those under way, the oldest first.
    pub running: Vec<Flight>,
    /// The last 256 that ended, in the order of their ends.
    pub ended: Vec<Flight>,
}
