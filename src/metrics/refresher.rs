//! What is measured of one refresher: counted here, for those without a recorder, and handed to the
//! recorder.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use metrics::Counter;

use super::{Owner, name};

/// Where the token came from that a request got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServedFrom {
    /// A token record, which was read for it or for somebody else.
    Record,
    /// A refresh that it waited for.
    Refresh,
    /// An outage: the token has expired.
    Expired,
}

/// The counters that a refresher keeps itself.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) from_cache: AtomicU64,
    pub(crate) from_record: AtomicU64,
    pub(crate) from_refresh: AtomicU64,
    pub(crate) expired: AtomicU64,
    pub(crate) late_callers: AtomicU64,
    pub(crate) refreshed: AtomicU64,
    pub(crate) already_newer: AtomicU64,
    pub(crate) other_process: AtomicU64,
    pub(crate) lost_races: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) replays: AtomicU64,
    pub(crate) logins: AtomicU64,
    pub(crate) logins_ended: AtomicU64,
}

pub(crate) struct Meter {
    owner: Owner,
    /// Its own handle, as nearly every request counts here.
    served_from_cache: Counter,
    pub(crate) counts: Counts,
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Meter {
    /// For tests of what is measured elsewhere.
    #[cfg(test)]
    pub(crate) fn sample() -> std::sync::Arc<Self> {
        std::sync::Arc::new(Self::new(Owner::new("https://id.example", "web")))
    }

    pub(crate) fn new(owner: Owner) -> Self {
        let served_from_cache = owned!(counter, name::SERVED, owner, "from" => "cache");
        Self { owner, served_from_cache, counts: Counts::default() }
    }

    pub(crate) fn served_from_cache(&self) {
        add(&self.counts.from_cache);
        self.served_from_cache.increment(1);
    }

    pub(crate) fn served(&self, from: ServedFrom) {
        let (counter, from) = match from {
            ServedFrom::Record => (&self.counts.from_record, "record"),
            ServedFrom::Refresh => (&self.counts.from_refresh, "refresh"),
            ServedFrom::Expired => (&self.counts.expired, "expired"),
        };
        add(counter);
        owned!(counter, name::SERVED, self.owner, "from" => from).increment(1);
    }

    /// `outcome`: `served`, or the kind of the error.
    pub(crate) fn waited(&self, outcome: &'static str, waited: Duration) {
        owned!(histogram, name::WAIT, self.owner, "outcome" => outcome).record(waited);
    }

    pub(crate) fn late_caller(&self) {
        add(&self.counts.late_callers);
        owned!(counter, name::LATE_CALLERS, self.owner).increment(1);
    }

    /// `waiters`: at its end.
    pub(crate) fn flight_ended(&self, outcome: &'static str, took: Duration, waiters: usize) {
        add(match outcome {
            "refreshed" => &self.counts.refreshed,
            "already_newer" => &self.counts.already_newer,
            "other_process" => &self.counts.other_process,
            "lost_race" => &self.counts.lost_races,
            _ => &self.counts.failed,
        });
        owned!(counter, name::FLIGHTS, self.owner, "outcome" => outcome).increment(1);
        owned!(histogram, name::FLIGHT_DURATION, self.owner, "outcome" => outcome).record(took);
        #[allow(clippy::cast_precision_loss, reason = "nobody has as many as 2^52")]
        owned!(histogram, name::FLIGHT_WAITERS, self.owner).record(waiters as f64);
    }

    pub(crate) fn stage_ended(&self, stage: &'static str, took: Duration) {
        owned!(histogram, name::STAGE_DURATION, self.owner, "stage" => stage).record(took);
    }

    pub(crate) fn replayed(&self) {
        add(&self.counts.replays);
        owned!(counter, name::REPLAYS, self.owner).increment(1);
    }

    pub(crate) fn mark_is_overdue(&self) {
        owned!(counter, name::OVERDUE_MARKS, self.owner).increment(1);
    }

    /// `write`: `mark` or `put`.
    pub(crate) fn swap_lost(&self, write: &'static str) {
        owned!(counter, name::LOST_SWAPS, self.owner, "write" => write).increment(1);
    }

    /// `what`: `tokens` or `ending`.
    pub(crate) fn unsaved(&self, what: &'static str) {
        owned!(counter, name::UNSAVED, self.owner, "what" => what).increment(1);
    }

    pub(crate) fn unsaved_logins(&self, logins: usize) {
        #[allow(clippy::cast_precision_loss, reason = "nobody has as many as 2^52")]
        owned!(gauge, name::UNSAVED_LOGINS, self.owner).set(logins as f64);
    }

    pub(crate) fn login_began(&self) {
        add(&self.counts.logins);
        owned!(counter, name::LOGINS, self.owner).increment(1);
    }

    pub(crate) fn login_ended(&self, reason: &'static str) {
        add(&self.counts.logins_ended);
        owned!(counter, name::LOGINS_ENDED, self.owner, "reason" => reason).increment(1);
    }

    /// `outcome`: `revoked`, `not_supported`, or the kind of the error.
    pub(crate) fn revoked(&self, outcome: &'static str) {
        owned!(counter, name::REVOCATIONS, self.owner, "outcome" => outcome).increment(1);
    }

    pub(crate) fn back_channel(&self, outcome: &'static str) {
        owned!(counter, name::BACK_CHANNEL, self.owner, "outcome" => outcome).increment(1);
    }

    pub(crate) fn second_process(&self) {
        owned!(counter, name::SECOND_PROCESS, self.owner).increment(1);
    }

    pub(crate) fn clock_skewed(&self) {
        owned!(counter, name::CLOCK_SKEW, self.owner).increment(1);
    }
}
