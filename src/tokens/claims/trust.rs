//! Whether claims are verified before anybody sees them.

use async_trait::async_trait;

use crate::{error::RefreshError, tokens::CachedToken};

/// Why the claims of an access token are believed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ClaimsTrust {
    /// The provider sent the token over TLS, and it has stayed on the server (compare OpenID
    /// Connect Core 3.1.3.7, item 6). Whoever can write to the token store can act as any user.
    #[default]
    Issued,
    /// The provider's keys have signed the token, and its `iss`, `typ`, `exp`, `nbf` and `iat` are
    /// right. This is checked once per token, before anybody gets its claims. Access tokens must be
    /// JWTs, and the endpoint needs an issuer and keys: by discovery, or by
    /// [`jwks_url`](crate::TokenEndpoint::jwks_url).
    ///
    /// A token that is [stale](crate::AccessToken::is_stale) may be past its `exp`. The wall clocks
    /// of this process and of the provider may differ by 60 s. Beyond that, a token may look
    /// expired or not yet valid, and is refused.
    Verified {
        /// What `aud` must contain. It is usually the API that the tokens are for, not the
        /// client's id. `None` accepts any audience.
        audience: Option<String>,
    },
}

/// Verifies access tokens, for whoever knows the providers' keys.
#[async_trait]
pub(crate) trait VerifyToken: Send + Sync + 'static {
    /// `stale`: the token may have expired.
    async fn verify(&self, token: &CachedToken, stale: bool) -> Result<(), RefreshError>;
}
