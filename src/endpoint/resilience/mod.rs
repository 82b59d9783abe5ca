//! Protects a provider that is in trouble, and this process from waiting for it.
//!
//! [`Admission`] decides whether a refresh may be sent. It consults five parts:
//!
//! | part | question | refuses with |
//! |---|---|---|
//! | [`dead_tokens`] | Did the provider reject this refresh token a moment ago? | `InvalidGrant` |
//! | [`breaker`] | Does the provider answer, and does it want requests now? | `Unavailable` |
//! | [`rate_limited`] | Is a 429 meant for all? | `Unavailable`, by the breaker |
//! | [`refusals`] | Does it clearly refuse everybody? | its last answer |
//! | [`bulkhead`] | Is there room for one more request? | `Unavailable` |
//!
//! After a failure, [`retry`] decides whether the request may be sent again. [`ProviderLimits`]
//! holds the settings of all of them.

mod admission;
mod breaker;
mod bulkhead;
mod dead_tokens;
mod held_back;
mod limits;
mod rate_limited;
mod refusals;
mod retry;

/// What so many logins have met is not one user's trouble.
const SEVERAL: usize = 3;

pub(crate) use admission::{Admission, Pass, random};
pub use breaker::BreakerState;
pub(crate) use dead_tokens::Fingerprint;
pub(crate) use held_back::{HeldBack, is_held_back};
pub use limits::ProviderLimits;
pub(crate) use retry::pause_before_retry;
