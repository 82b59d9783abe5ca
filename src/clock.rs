//! The one source of time: everything that asks "is this token still good?" asks a [`Clock`].

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// Where a [`Clock`] reads the time. Implement it to drive time in tests, or use `ManualClock` of the `testing` feature.
pub trait TimeSource: Send + Sync + 'static {
    /// The wall clock. It may jump, in both directions; token expiry is read on it.
    fn now(&self) -> SystemTime;

    /// Time since a fixed moment of this source. It never goes back; ages and retention are read on it.
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

    /// Time since a fixed moment of this clock; never goes back.
    #[must_use]
    pub fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }
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
