//! Tokens: what a provider's answer says, what a grant holds, and what a handler sees of it.

mod access_token;
mod bearer;
mod cached_token;
pub(crate) mod claims;
mod grant;
mod grant_tokens;
mod token_set;

pub use access_token::AccessToken;
pub(crate) use bearer::BearerToken;
pub(crate) use cached_token::{CachedToken, Standing};
pub(crate) use claims::ClaimsVerifier;
pub use claims::{ClaimsError, ClaimsTrust, Roles, StandardClaims};
pub use grant::RecordKey;
pub(crate) use grant::{Generation, GrantId, spread};
pub(crate) use grant_tokens::{GrantTokens, later};
pub use token_set::{TokenSet, TokenSetError};
