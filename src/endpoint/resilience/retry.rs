//! [`pause_before_retry`]: which failed refreshes may be sent again, and when.
//!
//! A refresh token is good for one use, and a provider that sees it twice may end the login. So a
//! refresh is sent again only if the provider certainly did not act on it. Neither this crate nor
//! the default transport sends anything else twice.
//!
//! | what happened | token used up? | sent again |
//! |---|---|---|
//! | connection refused, unknown host, TLS or discovery failed | no | after 50 to 100 ms |
//! | this client's secret or key could not be had | no | after 50 to 100 ms |
//! | 429, 503, 408, 421, 425, or the code `slow_down` or `temporarily_unavailable` | no | after `Retry-After`, else 1 s; +25% |
//! | the connection broke after it was made | maybe | never |
//! | no complete answer in time | maybe | never |
//! | the answer is not HTTP | maybe | never |
//! | any other 5xx, or the code `server_error` | maybe | never |
//! | 2xx without a token response | maybe | never |
//! | any other OAuth error, any other 4xx | no | not within this refresh |
//! | 3xx | no | never, and not followed |
//! | refused by this process: breaker open, queue full | no | never: the caller should fail fast |
//!
//! One more case never reaches this table: if a pooled connection turns out to be closed before
//! the request was written, the default transport opens a new one at once.
//!
//! Everything together takes at most `max(2, attempts)` request timeouts, from the first look at
//! the discovery document to the last byte of the last answer. A request starts only while a whole
//! one still fits, and a pause that is too long for that is skipped.

use std::time::Duration;

use super::breaker::jittered;
use crate::endpoint::error::{EndpointError, EndpointErrorKind as Kind};

const SHORT: Duration = Duration::from_millis(100);
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long to wait before the request that failed with `error` may be sent again. `None` means
/// never.
pub(crate) fn pause_before_retry(error: &EndpointError, random: u32) -> Option<Duration> {
    if error.may_have_consumed() {
        return None;
    }
    match error.kind() {
        Kind::Unreachable | Kind::NoCredentials => Some(jittered(SHORT, random)),
        Kind::Unavailable { retry_after } | Kind::TryLater { retry_after } => {
            let wait = retry_after.unwrap_or(DEFAULT_RETRY_AFTER);
            Some(wait + wait.mul_f64(0.25 * f64::from(random) / f64::from(u32::MAX)))
        }
        Kind::NoAnswer
        | Kind::InvalidGrant
        | Kind::Rejected { .. }
        | Kind::InvalidResponse { .. }
        | Kind::Misconfigured => None,
    }
}

#[cfg(test)]
mod tests;
