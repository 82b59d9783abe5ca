//! Clocks that work between processes, and percentiles.

use std::{
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use tower_token_refresh::Clock;

use crate::common::Samples;

static CLOCK: LazyLock<Clock> = LazyLock::new(Clock::system);

/// Nanoseconds since 1970: the same clock in every process of the machine.
pub fn wall() -> u64 {
    let since = CLOCK.now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_nanos()).expect("before 2554")
}

pub fn now() -> SystemTime {
    CLOCK.now()
}

/// For durations within a process.
pub fn monotonic() -> Duration {
    CLOCK.monotonic()
}

pub fn micros_since(started: Duration) -> f64 {
    (CLOCK.monotonic() - started).as_nanos() as f64 / 1_000.0
}

/// Returns at `start` by the wall clock, more exactly than a timer does.
pub async fn until(start: u64) {
    let early = Duration::from_nanos(start.saturating_sub(wall()));
    tokio::time::sleep(early.saturating_sub(Duration::from_millis(2))).await;
    while wall() < start {
        tokio::task::yield_now().await;
    }
}

/// The value that this part of all samples is below.
pub fn part(samples: &Samples, part: f64) -> f64 {
    let mut sorted = samples.0.clone();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

pub fn p99(samples: &Samples) -> f64 {
    part(samples, 0.99)
}

pub fn mean(samples: &Samples) -> f64 {
    samples.0.iter().sum::<f64>() / samples.0.len() as f64
}

/// Samples as one line, for another process.
pub fn to_line(samples: &[f64]) -> String {
    samples.iter().map(|sample| format!("{sample:.3}")).collect::<Vec<_>>().join(" ")
}

pub fn of_line(line: &str) -> Vec<f64> {
    line.split_whitespace().map(|sample| sample.parse().expect("a number")).collect()
}
