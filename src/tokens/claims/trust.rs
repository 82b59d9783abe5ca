//! Whether claims are verified before anybody sees them.

use std::{sync::Arc, time::Duration};

use crate::{
    endpoint::{Expected, Keys, KeysError, VerifyError},
    error::{RefreshError, RefreshErrorKind},
    tokens::CachedToken,
};

/// Why the claims of an access token are believed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ClaimsTrust {
    /// The provider sent the token over TLS, and it has stayed on the server (compare OpenID
    /// Connect Core 3.1.3.7, item 6). Whoever can write to the token store can be anybody.
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
        /// What `aud` must contain: mostly the API that the tokens are for, not the client's id.
        /// None accepts anything.
        audience: Option<String>,
    },
}

/// Verifies the access tokens of one provider. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ClaimsVerifier(Arc<Inner>);

struct Inner {
    keys: Keys,
    issuer: String,
    audience: Option<String>,
}

impl ClaimsVerifier {
    pub(crate) fn new(keys: Keys, issuer: String, audience: Option<String>) -> Self {
        Self(Arc::new(Inner { keys, issuer, audience }))
    }

    /// Verifies the access token of `token`, unless that has been done. A stale one may have
    /// expired.
    pub(crate) async fn verify(
        &self,
        token: &CachedToken,
        stale: bool,
    ) -> Result<(), RefreshError> {
        if token.is_verified() {
            return Ok(());
        }
        let expected = Expected {
            may_have_expired: stale,
            ..Expected::access_token(&self.0.issuer, self.0.audience.as_deref())
        };
        match self.0.keys.verify(token.access_token.expose(), &expected).await {
            Ok(_) => {
                token.mark_verified();
                Ok(())
            }
            Err(error) => Err(unverified(error)),
        }
    }
}

fn unverified(error: VerifyError) -> RefreshError {
    match &error {
        VerifyError::Keys(KeysError::NoUrl) => RefreshError::new(
            RefreshErrorKind::Misconfigured,
            "the discovery document names no keys (jwks_uri)",
        ),
        VerifyError::Keys(_) => {
            let why = "the keys to verify the access token by could not be fetched";
            RefreshError::new(RefreshErrorKind::Unavailable, why)
                .with_retry_after(Duration::from_secs(5))
        }
        _ => RefreshError::new(
            RefreshErrorKind::Misconfigured,
            "the access token's claims are to be verified, and the token does not verify",
        ),
    }
    .with_source(error)
}
