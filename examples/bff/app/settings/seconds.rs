//! `REQUEST_TIMEOUT` and `STORE_TIMEOUT`.

use std::time::Duration;

use super::SettingError;

const LONGEST: u64 = 300;

pub(super) fn parse(variable: &'static str, value: &str) -> Result<Duration, SettingError> {
    let seconds = value.parse().ok().filter(|seconds| (1..=LONGEST).contains(seconds));
    let rule = "it must be whole seconds, from 1 to 300";
    seconds.map(Duration::from_secs).ok_or_else(|| SettingError::shown(variable, value, rule))
}
