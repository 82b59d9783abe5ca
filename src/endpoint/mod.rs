//! Talks to one provider: refreshes, revocations, discovery and keys.
//!
//! A [`TokenEndpoint`] holds the settings. Building a refresher checks them and makes a
//! [`Provider`], which sends the requests:
//!
//! ```text
//! token_endpoint, discover, presets  settings; no request but an awaited discovery
//!   issuers                       which issuers its tokens may name
//!   provider, attempt             one token request: admission, discovery, attempts
//!     resilience/                 may it be sent now? may it be sent again?
//!     discovery/                  where are the provider's endpoints?
//!     auth/, grant, target, jwt_bearer, request  what is sent
//!     exchange, transport         one request and its whole answer, within time and size
//!     classify, response, oauth_error, error  what the answer means
//!   jwt/                          the provider's keys, and the tokens they verify
//! ```
//!
//! An exchange takes at most [`request_timeout`](TokenEndpoint::request_timeout) and reads at most
//! 1 MiB unless that is set (256 KiB for keys). Redirects are never followed. A refresh is sent
//! again only if the provider certainly did not act on it.

mod attempt;
mod auth;
mod authorization_grant;
mod classify;
mod content_coding;
mod discover;
mod discovery;
mod error;
mod exchange;
#[cfg(fuzzing)]
pub mod fuzzing;
mod issuers;
mod jwt;
mod jwt_bearer;
mod oauth_error;
mod presets;
mod provider;
mod request;
mod resilience;
mod resolver;
mod response;
mod target;
#[cfg(test)]
mod test_support;
mod token_endpoint;
mod transport;

#[cfg(test)]
pub(crate) use attempt::AlwaysSend;
pub(crate) use attempt::{Aborted, BeforeAttempt, RefreshFailure};
pub use auth::{
    AssertionAudience, ClientAuth, SecretSource, SigningAlgorithm, SigningKey, SigningKeySource,
};
#[cfg(feature = "login")]
pub(crate) use authorization_grant::AuthorizationCode;
pub(crate) use authorization_grant::AuthorizationGrant;
pub use classify::{AnswerMeaning, ProviderAnswer};
pub use discover::Discover;
pub use discovery::DiscoveryError;
#[cfg(feature = "login")]
pub(crate) use discovery::address::without_secrets;
pub(crate) use error::{EndpointError, EndpointErrorKind};
pub(crate) use issuers::Issuers;
pub(crate) use jwt::{Expected, JwtClaims, Keys, KeysError, LEEWAY, VerifyError};
pub use jwt_bearer::JwtBearer;
#[cfg(feature = "login")]
pub(crate) use provider::AuthorizationRequest;
pub(crate) use provider::{Provider, Revocation};
pub(crate) use request::TokenTypeHint;
pub(crate) use resilience::HeldBack;
pub(crate) use resilience::is_held_back;
pub use resilience::{BreakerState, ProviderLimits};
pub use resolver::EndpointResolver;
pub(crate) use response::Granted;
pub use target::TokenTarget;
#[cfg(feature = "login")]
pub(crate) use target::is_scope_word;
#[cfg(feature = "config")]
pub(crate) use token_endpoint::REQUEST_TIMEOUT;
pub use token_endpoint::TokenEndpoint;
pub use transport::{NotSent, Transport};
