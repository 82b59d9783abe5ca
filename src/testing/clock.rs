//! A clock that stands still until a test moves it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use crate::{Clock, TimeSource};

/// Where every [`ManualClock`] starts: 2033-05-18 03:33:20 UTC.
const START: Duration = Duration::from_secs(2_000_000_000);

/// A [`TimeSource`] that moves only when a test moves it. Clones share one time.
///
/// ```
/// use std::time::Duration;
/// use tower_token_refresh::testing::ManualClock;
///
/// let manual = ManualClock::new();
/// let clock = manual.clock();
/// let before = clock.now();
/// manual.advance(Duration::from_secs(60));
/// assert_eq!(clock.now(), before + Duration::from_secs(60));
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<Times>>);

#[derive(Clone, Copy, Debug)]
struct Times {
    wall: SystemTime,
    monotonic: Duration,
}

impl ManualClock {
    /// Makes a clock at 2033-05-18 03:33:20 UTC. That is in the future of the machine's own clock,
    /// so code that reads the machine's clock by mistake finds nothing expired.
    #[must_use]
    pub fn new() -> Self {
        let wall = SystemTime::UNIX_EPOCH + START;
        Self(Arc::new(Mutex::new(Times { wall, monotonic: Duration::ZERO })))
    }

    /// A [`Clock`] that reads this source.
    #[must_use]
    pub fn clock(&self) -> Clock {
        Clock::new(self.clone())
    }

    /// Lets time pass: the wall clock and the monotonic one move together.
    ///
    /// # Panics
    /// If the wall clock leaves what [`SystemTime`] can hold.
    pub fn advance(&self, by: Duration) {
        self.change(|times| {
            times.wall += by;
            times.monotonic += by;
        });
    }

    /// Sets the wall clock forward or back by `seconds`, as an administrator or NTP does. The
    /// monotonic clock stands still.
    ///
    /// # Panics
    /// If the wall clock leaves what [`SystemTime`] can hold.
    pub fn jump_wall(&self, seconds: i64) {
        let by = Duration::from_secs(seconds.unsigned_abs());
        self.change(|times| {
            if seconds < 0 {
                times.wall -= by;
            } else {
                times.wall += by;
            }
        });
    }

    fn read(&self) -> Times {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Times)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl TimeSource for ManualClock {
    fn now(&self) -> SystemTime {
        self.read().wall
    }

    fn monotonic(&self) -> Duration {
        self.read().monotonic
    }
}
