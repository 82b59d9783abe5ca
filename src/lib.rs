//! Single-flight OAuth 2.0 token refresh for Axum and Tower.
#![forbid(unsafe_code)]

mod clock;
pub mod endpoint;
mod error;
#[cfg(feature = "testing")]
pub mod testing;

pub use clock::{Clock, TimeSource};
pub use error::{ConfigError, RefreshError, RefreshErrorKind};
pub use tower_sessions;
