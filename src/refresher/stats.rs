//! What a refresher has done since it was built, as numbers, for those without a recorder.

use std::sync::atomic::{AtomicU64, Ordering};

use super::TokenRefresher;
use crate::operate::{Flights, Served, Snapshot, Stats};

impl TokenRefresher {
    /// What this process has done since the refresher was built, and what it holds now. It takes
    /// longer with more logins.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (core, counts) = (&self.0, &self.0.meter.counts);
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            usage: self.usage(),
            refreshing: core.flight_log.count(),
            served: Served {
                from_cache: of(&counts.from_cache),
                from_record: of(&counts.from_record),
                from_refresh: of(&counts.from_refresh),
                expired: of(&counts.expired),
            },
            flights: Flights {
                refreshed: of(&counts.refreshed),
                already_newer: of(&counts.already_newer),
                other_process: of(&counts.other_process),
                lost_race: of(&counts.lost_races),
                failed: of(&counts.failed),
            },
            late_callers: of(&counts.late_callers),
            replays: of(&counts.replays),
            logins: of(&counts.logins),
            logins_ended: of(&counts.logins_ended),
        }
    }

    /// The refreshes under way, and the last 256 that ended in this process. No secret is in it, and
    /// nothing that leads to a session or, without the [key](crate::TokenRefresherBuilder::audit_key),
    /// to a user.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let core = &self.0;
        Snapshot {
            running: core.flight_log.running(|key| core.flights.waiting_for(key)),
            ended: core.flight_log.ended(),
        }
    }

    /// The hash that stands for the user with this subject in audit lines and
    /// [snapshots](Self::snapshot): 32 hexadecimal digits. A subject is unique at its issuer only, so
    /// both are needed: as [`AccessToken::issuer`](crate::AccessToken::issuer) and
    /// [`AccessToken::subject`](crate::AccessToken::subject) say.
    #[must_use]
    pub fn audit_hash(&self, issuer: &str, subject: &str) -> String {
        self.0.audit.user(issuer, subject)
    }

    /// Resolves when a refresh begins, comes to a stage or ends. Not when a request joins or leaves
    /// one.
    #[cfg(feature = "inspect")]
    pub(crate) fn flight_changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.0.flight_log.changes()
    }

    /// Cancelled by [`shutdown`](Self::shutdown).
    #[cfg(feature = "axum")]
    pub(crate) fn closing(&self) -> tokio_util::sync::CancellationToken {
        self.0.closing.clone()
    }
}
