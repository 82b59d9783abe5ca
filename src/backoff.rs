//! Pauses that double.

use std::time::Duration;

/// `first`, doubled so many times, and never more than `longest`.
pub(crate) fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(times)).min(longest)
}
