//! The one source of time. A clippy rule keeps all other code from asking the system.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

/// Where a [`Clock`] reads the time. Implement it to control time in tests, or use `ManualClock` of
/// the `testing` feature.
pub trait TimeSource: Send + Sync + 'static {
    /// The wall clock. It may jump in both directions. Token expiry is compared with it.
    fn now(&self) -> SystemTime;

    /// The time since a fixed moment of this source. It never goes back. Ages are measured by it.
    fn monotonic(&self) -> Duration;
}

/// Wall and monotonic time. Cheap to clone; clones share one source.
#[derive(Clone)]
pub struct Clock(Arc<dyn TimeSource>);

impl Clock {
    /// A clock that reads `source`.
    pub fn new(source: impl TimeSource) -> Self {
        Self(Arc::new(source))
    }

    /// The operating system's clock, the default.
    #[must_use]
    pub fn system() -> Self {
        Self::new(SystemTimeSource::start())
    }

    /// The wall clock.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.0.now()
    }

    /// The time since a fixed moment of this clock. It never goes back.
    #[must_use]
    pub fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }
}

impl Clock {
    /// Both readings at once.
    pub(crate) fn moment(&self) -> Moment {
        Moment { wall: self.now(), monotonic: self.monotonic() }
    }

    /// How long ago `moment` was.
    pub(crate) fn since(&self, moment: Moment) -> Duration {
        self.moment().since(moment)
    }
}

/// A reading of both clocks. What has passed since is the larger of both differences: while a
/// machine sleeps its monotonic clock may stand still, and a wall clock may be set back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) wall: SystemTime,
    pub(crate) monotonic: Duration,
}

impl Moment {
    pub(crate) fn since(self, earlier: Self) -> Duration {
        let by_wall = self.wall.duration_since(earlier.wall).unwrap_or_default();
        by_wall.max(self.monotonic.saturating_sub(earlier.monotonic))
    }

    /// The moment that was `by` ago, as far as the monotonic clock reaches back.
    pub(crate) fn before(self, by: Duration) -> Self {
        let by = by.min(self.monotonic);
        Self { wall: self.wall - by, monotonic: self.monotonic - by }
    }
}

/// A [`Moment`] that many tasks set and read, to the millisecond.
pub(crate) struct AtomicMoment {
    wall: AtomicU64,
    monotonic: AtomicU64,
}

impl AtomicMoment {
    pub(crate) fn new(moment: Moment) -> Self {
        let this = Self { wall: AtomicU64::new(0), monotonic: AtomicU64::new(0) };
        this.set(moment);
        this
    }

    pub(crate) fn get(&self) -> Moment {
        let millis = |part: &AtomicU64| Duration::from_millis(part.load(Ordering::Relaxed));
        let wall = SystemTime::UNIX_EPOCH.checked_add(millis(&self.wall));
        Moment { wall: wall.unwrap_or(SystemTime::UNIX_EPOCH), monotonic: millis(&self.monotonic) }
    }

    /// Two that set it at once may leave the parts of two moments: both are near enough.
    pub(crate) fn set(&self, moment: Moment) {
        let wall = moment.wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.wall.store(millis(wall), Ordering::Relaxed);
        self.monotonic.store(millis(moment.monotonic), Ordering::Relaxed);
    }
}

/// Limits how often something is done.
pub(crate) struct Throttle {
    every: Duration,
    /// When it is due next, in milliseconds on the monotonic clock.
    next: AtomicU64,
}

impl Throttle {
    /// First due when `every` has passed.
    pub(crate) fn new(every: Duration, clock: &Clock) -> Self {
        Self { every, next: AtomicU64::new(millis(clock.monotonic() + every)) }
    }

    /// First due at once.
    pub(crate) fn due(every: Duration) -> Self {
        Self { every, next: AtomicU64::new(0) }
    }

    /// Whether it is time again. Of those who ask at once, one is told so.
    pub(crate) fn is_due(&self, now: Duration) -> bool {
        let (next, order) = (self.next.load(Ordering::Relaxed), Ordering::Relaxed);
        let then = millis(now.saturating_add(self.every));
        millis(now) >= next && self.next.compare_exchange(next, then, order, order).is_ok()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// As a claim of a JWT counts (RFC 7519, section 2): whole seconds since 1970.
pub(crate) fn unix_seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

struct SystemTimeSource {
    started: Instant,
}

#[expect(clippy::disallowed_methods, reason = "the one place that may ask the operating system")]
impl SystemTimeSource {
    fn start() -> Self {
        Self { started: Instant::now() }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that may ask the operating system")]
impl TimeSource for SystemTimeSource {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}
