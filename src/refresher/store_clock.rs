//! The token store's clock, where it has one. Token records carry its time, so that processes whose
//! own clocks differ read the same life from them.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use crate::{
    clock::{Clock, Moment},
    metrics::Meter,
    tokens::{GrantTokens, saturating_add},
};

/// Clocks that differ by less than this count as equal: an answer takes a moment to come.
const NOISE: Duration = Duration::from_secs(1);
/// Clocks may differ by this much before anybody is told.
const SKEW: Duration = Duration::from_secs(5);
/// For how long a difference is taken for granted.
const KNOWN_FOR: Duration = Duration::from_secs(60);

pub(super) struct StoreClock {
    clock: Clock,
    meter: Arc<Meter>,
    /// As the last read has shown it, and when by the monotonic clock.
    last: Mutex<Option<(Offset, Duration)>>,
    has_warned: AtomicBool,
}

/// How much the store's clock differs from this process's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Offset {
    #[default]
    None,
    Ahead(Duration),
    Behind(Duration),
}

impl StoreClock {
    pub(super) fn new(clock: Clock, meter: Arc<Meter>) -> Self {
        Self { clock, meter, last: Mutex::new(None), has_warned: AtomicBool::new(false) }
    }

    /// A read that began at `began` has shown the time `now`; none if the store has no clock.
    pub(super) fn observe(&self, began: Moment, now: Option<SystemTime>) -> Offset {
        let offset = now.map(|now| self.offset_of(began, now)).unwrap_or_default();
        let seen_at = self.clock.monotonic();
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((offset, seen_at));
        if let Offset::Ahead(by) | Offset::Behind(by) = offset
            && by > SKEW
        {
            self.meter.clock_skewed();
            if !self.has_warned.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    seconds = by.as_secs(),
                    "the clocks of this process and of the token store differ (logged once)"
                );
            }
        }
        offset
    }

    /// The store has read its clock at some moment between `began` and now.
    fn offset_of(&self, began: Moment, store: SystemTime) -> Offset {
        let earliest = began.wall;
        let latest = saturating_add(earliest, self.clock.since(began));
        let by = |later: SystemTime, earlier| later.duration_since(earlier).unwrap_or_default();
        match (by(store, latest), by(earliest, store)) {
            (ahead, _) if ahead >= NOISE => Offset::Ahead(ahead),
            (_, behind) if behind >= NOISE => Offset::Behind(behind),
            _ => Offset::None,
        }
    }

    /// As last seen.
    pub(super) fn offset(&self) -> Offset {
        self.last().map(|(offset, _)| offset).unwrap_or_default()
    }

    /// Whether the offset was seen lately.
    pub(super) fn is_known(&self) -> bool {
        let now = self.clock.monotonic();
        self.last().is_some_and(|(_, seen_at)| now.saturating_sub(seen_at) <= KNOWN_FOR)
    }

    fn last(&self) -> Option<(Offset, Duration)> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Offset {
    /// A time of this process in the store's time.
    pub(super) fn to_store(self, time: SystemTime) -> SystemTime {
        match self {
            Self::None => time,
            Self::Ahead(by) => saturating_add(time, by),
            Self::Behind(by) => time.checked_sub(by).unwrap_or(time),
        }
    }

    /// Tokens in the store's time.
    pub(super) fn tokens_to_store(self, tokens: GrantTokens) -> GrantTokens {
        tokens.with_times(|time| self.to_store(time))
    }

    /// Tokens in the store's time, in this process's time.
    pub(super) fn tokens_from_store(self, tokens: GrantTokens) -> GrantTokens {
        let back = match self {
            Self::None => Self::None,
            Self::Ahead(by) => Self::Behind(by),
            Self::Behind(by) => Self::Ahead(by),
        };
        tokens.with_times(|time| back.to_store(time))
    }
}
