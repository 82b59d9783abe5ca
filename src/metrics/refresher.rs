//! What is measured of one refresher: counted here, for those without a recorder, and handed to the
//! recorder.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use metrics::Counter;

use super::{Outcome, Owner, known, name};

/// Where the token came from that a request got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServedFrom {
    /// The cache of this process.
    Cache,
    /// A token record, which was read for it or for somebody else.
    Record,
    /// A refresh that it waited for.
    Refresh,
    /// A refresh that failed: the token is within its leeway, or has expired.
    Expired,
}

impl ServedFrom {
    pub(super) const NAMES: [&str; 4] =
        [Self::Cache.name(), Self::Record.name(), Self::Refresh.name(), Self::Expired.name()];

    const fn name(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Record => "record",
            Self::Refresh => "refresh",
            Self::Expired => "expired",
        }
    }
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
        name::begin(name::Of::Refresher, &owner.labels());
        let cache = ServedFrom::Cache.name();
        let served_from_cache = owned!(counter, name::SERVED, owner, "from" => cache);
        Self { owner, served_from_cache, counts: Counts::default() }
    }

    pub(crate) fn served_from_cache(&self) {
        add(&self.counts.from_cache);
        self.served_from_cache.increment(1);
    }

    pub(crate) fn served(&self, from: ServedFrom) {
        add(match from {
            ServedFrom::Cache => return self.served_from_cache(),
            ServedFrom::Record => &self.counts.from_record,
            ServedFrom::Refresh => &self.counts.from_refresh,
            ServedFrom::Expired => &self.counts.expired,
        });
        owned!(counter, name::SERVED, self.owner, "from" => from.name()).increment(1);
    }

    /// `outcome`: `served`, `served_old`, or the kind of the error.
    pub(crate) fn waited(&self, outcome: &'static str, waited: Duration) {
        let outcome = known(name::WAIT, outcome);
        owned!(histogram, name::WAIT, self.owner, "outcome" => outcome).record(waited);
    }

    pub(crate) fn late_caller(&self) {
        add(&self.counts.late_callers);
        owned!(counter, name::LATE_CALLERS, self.owner).increment(1);
    }

    /// `waiters`: at its end.
    pub(crate) fn flight_ended(&self, outcome: Outcome, took: Duration, waiters: usize) {
        add(match outcome {
            Outcome::Refreshed => &self.counts.refreshed,
            Outcome::AlreadyNewer => &self.counts.already_newer,
            Outcome::OtherProcess => &self.counts.other_process,
            Outcome::LostRace => &self.counts.lost_races,
            Outcome::Lost | Outcome::Failed(_) => &self.counts.failed,
        });
        let outcome = known(name::FLIGHTS, outcome.name());
        owned!(counter, name::FLIGHTS, self.owner, "outcome" => outcome).increment(1);
        owned!(histogram, name::FLIGHT_DURATION, self.owner, "outcome" => outcome).record(took);
        #[allow(clippy::cast_precision_loss, reason = "nobody has as many as 2^52")]
        owned!(histogram, name::FLIGHT_WAITERS, self.owner).record(waiters as f64);
    }

    pub(crate) fn stage_ended(&self, stage: &'static str, took: Duration) {
        let stage = known(name::STAGE_DURATION, stage);
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
        let write = known(name::LOST_SWAPS, write);
        owned!(counter, name::LOST_SWAPS, self.owner, "write" => write).increment(1);
    }

    /// `what`: `tokens` or `ending`.
    pub(crate) fn unsaved(&self, what: &'static str) {
        let what = known(name::UNSAVED, what);
        owned!(counter, name::UNSAVED, self.owner, "what" => what).increment(1);
    }

    pub(crate) fn unsaved_logins(&self, logins: usize) {
        #[allow(clippy::cast_precision_loss, reason = "nobody has as many as 2^52")]
        owned!(gauge, name::UNSAVED_LOGINS, self.owner).set(logins as f64);
    }

    /// `store`: `session` or `token`.
    pub(crate) fn store_failed(&self, store: &'static str) {
        let store = known(name::STORE_FAILURES, store);
        owned!(counter, name::STORE_FAILURES, self.owner, "store" => store).increment(1);
    }

    pub(crate) fn login_began(&self) {
        add(&self.counts.logins);
        owned!(counter, name::LOGINS, self.owner).increment(1);
    }

    pub(crate) fn login_ended(&self, reason: &'static str) {
        add(&self.counts.logins_ended);
        let reason = known(name::LOGINS_ENDED, reason);
        owned!(counter, name::LOGINS_ENDED, self.owner, "reason" => reason).increment(1);
    }

    /// `outcome`: `revoked`, `not_supported`, or the kind of the error.
    pub(crate) fn revoked(&self, outcome: &'static str) {
        let outcome = known(name::REVOCATIONS, outcome);
        owned!(counter, name::REVOCATIONS, self.owner, "outcome" => outcome).increment(1);
    }

    pub(crate) fn back_channel(&self, outcome: &'static str) {
        let outcome = known(name::BACK_CHANNEL, outcome);
        owned!(counter, name::BACK_CHANNEL, self.owner, "outcome" => outcome).increment(1);
    }

    pub(crate) fn second_process(&self) {
        owned!(counter, name::SECOND_PROCESS, self.owner).increment(1);
    }

    pub(crate) fn clock_skewed(&self) {
        owned!(counter, name::CLOCK_SKEW, self.owner).increment(1);
    }
}
