//! Claims that were verified before anybody sees them.

use std::{sync::Arc, time::Duration};

use crate::{
    endpoint::{Expected, Keys, KeysError, VerifyError},
    error::{RefreshError, RefreshErrorKind},
    tokens::CachedToken,
};

/// What the claims of an access token are believed for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ClaimsTrust {
    /// The token is the provider's own answer over TLS, kept on the server side since (compare OpenID
    /// Connect Core 3.1.3.7, item 6). Who can write to the token store can be anybody.
    #[default]
    Issued,
    /// The token's signature, by the provider's keys, and its `iss`, `typ`, `exp`, `nbf` and `iat`:
    /// checked once per token, before anybody is given its claims. Needs access tokens that are JWTs, the
    /// endpoint's issuer, and its keys: by discovery, or by
    /// [`jwks_url`](crate::TokenEndpoint::jwks_url).
    ///
    /// A token that is [stale](crate::AccessToken::is_stale) may be past its `exp`. The wall clocks of
    /// this process and of the provider may be 60 s apart: a token from further ahead is refused
    /// (`iat`), and so is one that looks expired.
    Verified {
        /// What `aud` must contain: the API that the tokens are for, seldom the client's id. None:
        /// anything.
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

    /// Verifies the access token of `token`, unless that has been done. One that is served stale has expired.
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
