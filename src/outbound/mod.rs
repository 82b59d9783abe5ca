//! Tokens for calls that go out.

mod bearer;
mod token_source;

#[cfg(feature = "reqwest-middleware")]
pub use bearer::BearerMiddleware;
pub use bearer::{ApiHosts, BearerLayer, BearerService, StepUp};
pub use token_source::TokenSource;
