//! What may be sent again. A refresh token is good for one use, and a provider that sees it twice may end the login: so only what
//! was certainly not acted on is sent again, and nothing else ever is, here or by the transport.
//!
//! | what happened | may be used up | sent again |
//! |---|---|---|
//! | connection refused, no such host, TLS failed, no discovery | no | after 50 to 100 ms |
//! | a kept connection turns out to be closed before the request was written | no | at once, on a fresh connection, by the default transport |
//! | 429, 503; 4xx or 5xx with the code `temporarily_unavailable` | no | after the `Retry-After`, else after 1 s; up to a quarter longer |
//! | the connection breaks once it is made: before the provider read a byte, or anywhere up to the last byte of the answer | yes | never |
//! | no whole answer in time: silence, a slow drip | yes | never |
//! | no HTTP | yes | never |
//! | any other 5xx, a proxy's 502 or 504; the code `server_error` | yes | never |
//! | 2xx that is no token response: garbage, compressed, over 64 KiB | yes | never |
//! | `invalid_grant` and every other OAuth error; a 4xx that is none | no | never: the answer would be the same |
//! | 3xx | no | never, and not followed |
//! | refused on this side: breaker open, queue full | no | never: at once is the point of it |
//!
//! Everything together, from the first look at the discovery document to the last byte of the last answer, takes at most
//! `max(2, attempts)` request timeouts: a request is begun only while a whole one still fits, and a pause that is too long for that
//! is not begun either.

use std::time::Duration;

use super::{
    breaker::jittered,
    error::{EndpointError, EndpointErrorKind as Kind},
};

const SHORT: Duration = Duration::from_millis(100);
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// After what pause the request that came to `error` may be sent again; `None`: never.
pub(super) fn pause_after(error: &EndpointError, random: u32) -> Option<Duration> {
    if error.may_have_consumed() {
        return None;
    }
    match error.kind() {
        Kind::Unreachable => Some(jittered(SHORT, random)),
        Kind::Unavailable { retry_after } => {
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
