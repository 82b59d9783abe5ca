//! Tokens: what a provider's answer says, what a grant holds, and what a handler sees of it.

mod access_token;
mod cached_token;
pub(crate) mod claims;
mod grant;
mod grant_handle;
mod grant_tokens;
mod header_token;
mod lifetime;
pub(crate) mod token_response;
mod token_set;

pub use access_token::AccessToken;
pub(crate) use cached_token::{CachedToken, Issued};
pub(crate) use claims::VerifyToken;
pub use claims::{ClaimsError, ClaimsTrust, Roles, StandardClaims};
pub use grant::RecordKey;
pub(crate) use grant::{Generation, GrantId, jitter};
pub use grant_handle::{GrantHandle, GrantHandleError};
pub(crate) use grant_tokens::GrantTokens;
pub(crate) use header_token::{HeaderToken, Scheme};
pub(crate) use lifetime::{Lifetime, Standing, saturating_add};
pub(crate) use token_response::{NewRefreshToken, Unusable};
#[cfg(feature = "login")]
pub(crate) use token_set::claims_of;
pub use token_set::{TokenSet, TokenSetError};
