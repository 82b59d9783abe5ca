//! Protects a provider that is in trouble, and this process from waiting for it.
//!
//! [`Admission`] decides whether a refresh may be sent. It consults four parts:
//!
//! | part | question | refuses with |
//! |---|---|---|
//! | [`dead_tokens`] | Did the provider reject this refresh token a moment ago? | `InvalidGrant` |
//! | [`breaker`] | Does the provider answer, and does it want requests now? | `Unavailable` |
//! | [`refusals`] | Does it clearly refuse everybody? | its last answer |
//! | [`bulkhead`] | Is there room for one more request? | `Unavailable` |
//!
//! After a failure, [`retry`] decides whether the request may be sent again. [`ProviderLimits`]
//! holds the settings of all of them.

mod admission;
mod breaker;
mod bulkhead;
mod dead_tokens;
mod limits;
mod refusals;
mod retry;
mod told_later;

pub(crate) use admission::{Admission, Pass, Refused, is_held_back, random};
pub(crate) use dead_tokens::Fingerprint;
pub use limits::ProviderLimits;
pub(crate) use retry::pause_before_retry;
