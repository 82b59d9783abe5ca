//! The system's clock, but whoever wants a token to expire skips the time until then. Between two
//! skips it runs, so that what a refresh takes can be measured by it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use tower_token_refresh::{Clock, TimeSource};

#[derive(Clone)]
pub struct SkippingClock {
    wall: SystemTime,
    begun: Instant,
    skipped: Arc<Mutex<Duration>>,
}

#[expect(clippy::disallowed_methods, reason = "it is a source of time")]
impl SkippingClock {
    pub fn new() -> Self {
        Self { wall: SystemTime::now(), begun: Instant::now(), skipped: Arc::default() }
    }

    pub fn clock(&self) -> Clock {
        Clock::new(self.clone())
    }

    pub fn skip(&self, time: Duration) {
        *self.skipped.lock().unwrap_or_else(PoisonError::into_inner) += time;
    }
}

#[expect(clippy::disallowed_methods, reason = "it is a source of time")]
impl TimeSource for SkippingClock {
    fn now(&self) -> SystemTime {
        self.wall + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        self.begun.elapsed() + *self.skipped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
