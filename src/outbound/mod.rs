//! Tokens for calls that go out.

mod bearer;
mod token_source;

pub use bearer::{ApiHosts, BearerLayer, BearerService, StepUp};
pub use token_source::TokenSource;
