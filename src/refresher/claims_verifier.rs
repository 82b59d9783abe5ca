//! Verifies access tokens before anybody sees their claims, where the application wants that.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::providers::Providers;
use crate::{
    endpoint::{Expected, KeysError, Provider, VerifyError},
    error::{ConfigError, RefreshError, RefreshErrorKind},
    tokens::{CachedToken, ClaimsTrust, VerifyToken},
};

/// What a provider must have so that tokens can be verified.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClaimsTrustCheck {
    needs_keys: bool,
}

struct ClaimsVerifier {
    providers: Arc<Providers>,
    audience: Option<String>,
}

impl ClaimsTrustCheck {
    pub(super) fn of(trust: &ClaimsTrust) -> Self {
        Self { needs_keys: matches!(trust, ClaimsTrust::Verified { .. }) }
    }

    pub(super) fn check(self, provider: &Provider) -> Result<(), ConfigError> {
        if self.needs_keys && !provider.can_verify() {
            return Err(ConfigError::Range {
                what: "claims_trust",
                value: "Verified".into(),
                rule: "the endpoint needs an issuer and a jwks_url, or discovery",
            });
        }
        Ok(())
    }
}

/// None where claims need no verification.
pub(super) fn claims_verifier(
    trust: ClaimsTrust,
    providers: &Arc<Providers>,
) -> Option<Arc<dyn VerifyToken>> {
    match trust {
        ClaimsTrust::Issued => None,
        ClaimsTrust::Verified { audience } => {
            Some(Arc::new(ClaimsVerifier { providers: providers.clone(), audience }))
        }
    }
}

#[async_trait]
impl VerifyToken for ClaimsVerifier {
    async fn verify(&self, token: &CachedToken, stale: bool) -> Result<(), RefreshError> {
        let at = self.providers.of(&token.issuer).await?;
        let Some(issuers) = at.provider.issuers() else {
            let why = "the issuer to verify the access token by is not known";
            return Err(RefreshError::new(RefreshErrorKind::Misconfigured, why));
        };
        let expected = Expected {
            may_have_expired: stale,
            ..Expected::access_token(issuers, self.audience.as_deref())
        };
        let verified = at.keys.verify(token.access_token.expose(), &expected).await;
        verified.map(|_| ()).map_err(unverified)
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
            "the claims of access tokens must be verified, and this access token failed the verification",
        ),
    }
    .with_source(error)
}
