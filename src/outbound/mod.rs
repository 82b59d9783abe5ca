//! Tokens for calls that go out.

mod bearer;
mod service_tokens;
mod slots;
mod token_exchange;
mod token_source;

#[cfg(feature = "reqwest-middleware")]
pub use bearer::BearerMiddleware;
pub use bearer::{ApiHosts, BearerLayer, BearerService, StepUp};
pub use service_tokens::{ServiceTokens, ServiceTokensBuilder};
pub use token_exchange::{ExchangedTokens, TokenExchange};
pub use token_source::TokenSource;
