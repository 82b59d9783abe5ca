//! What happens to a request on its way through the application: the layer, the extractors, and the
//! answers of those that get no token.

#[cfg(feature = "axum")]
mod back_channel_route;
#[cfg(feature = "axum")]
mod extract;
#[cfg(feature = "axum")]
mod from_provider;
#[cfg(feature = "axum")]
mod identity;
mod layer;
mod place;
mod problem;
pub mod rejection;
mod same_origin;
mod service;
mod session_cookie;

#[cfg(feature = "axum")]
pub(crate) use back_channel_route::route as back_channel_route;
#[cfg(feature = "axum")]
pub use extract::Claims;
#[cfg(feature = "axum")]
pub use from_provider::FromProvider;
#[cfg(feature = "axum")]
pub use identity::Identity;
pub use layer::TokenRefreshLayer;
#[cfg(feature = "login")]
pub(crate) use problem::whole_seconds;
pub use same_origin::{SameOriginLayer, SameOriginService};
pub use service::TokenRefreshService;
pub use session_cookie::{SessionCookieLayer, SessionCookieService};
