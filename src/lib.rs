//! Single-flight OAuth 2.0 token refresh for Axum and Tower.
#![forbid(unsafe_code)]

mod claims;
mod clock;
pub mod endpoint;
mod error;
#[cfg(feature = "testing")]
pub mod testing;
mod token;

pub use claims::{ClaimsError, Roles, StandardClaims};
pub use clock::{Clock, TimeSource};
pub use endpoint::{ClientAuth, DiscoveryError, TokenEndpoint, Transport};
pub use error::{ConfigError, RefreshError, RefreshErrorKind};
pub use token::{TokenSet, TokenSetError};
pub use tower_sessions;
