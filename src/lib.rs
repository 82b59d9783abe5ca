//! Single-flight OAuth 2.0 token refresh for Axum and Tower.
#![forbid(unsafe_code)]
#![deny(unreachable_pub)]

mod access_token;
mod claims;
mod clock;
pub mod endpoint;
mod error;
#[cfg(feature = "axum")]
mod extract;
mod flight;
mod grant;
mod layer;
mod ledger;
mod metrics;
mod policy;
mod problem;
mod refresher;
mod service;
mod session;
#[cfg(feature = "testing")]
pub mod testing;
mod token;

pub use access_token::AccessToken;
pub use claims::{ClaimsError, Roles, StandardClaims};
pub use clock::{Clock, TimeSource};
pub use endpoint::{ClientAuth, DiscoveryError, TokenEndpoint, Transport};
pub use error::{ConfigError, RefreshError, RefreshErrorKind};
#[cfg(feature = "axum")]
pub use extract::Claims;
pub use layer::TokenRefreshLayer;
pub use policy::RefreshPolicy;
pub use refresher::{LogOut, LoggedOut, Revocation, TokenRefresher, TokenRefresherBuilder};
pub use service::TokenRefreshService;
pub use session::GuardedStore;
pub use token::{TokenSet, TokenSetError};
pub use tower_sessions;
