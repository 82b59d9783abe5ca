//! Verifies access tokens before anybody sees their claims, where the application wants that.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{
    endpoint::{Expected, Issuers, Keys, KeysError, Provider, VerifyError},
    error::{ConfigError, RefreshError, RefreshErrorKind},
    tokens::{ClaimsTrust, VerifyToken},
};

struct ClaimsVerifier {
    keys: Keys,
    issuers: Issuers,
    audience: Option<String>,
}

/// None where claims need no verification.
pub(super) fn claims_verifier(
    trust: ClaimsTrust,
    provider: &Provider,
    keys: &Keys,
) -> Result<Option<Arc<dyn VerifyToken>>, ConfigError> {
    let ClaimsTrust::Verified { audience } = trust else { return Ok(None) };
    let Some(issuers) = provider.issuers().filter(|_| !provider.has_no_keys()) else {
        return Err(ConfigError::Range {
            what: "claims_trust",
            value: "Verified".into(),
            rule: "the endpoint needs an issuer and a jwks_url, or discovery",
        });
    };
    let (keys, issuers) = (keys.clone(), issuers.clone());
    Ok(Some(Arc::new(ClaimsVerifier { keys, issuers, audience })))
}

#[async_trait]
impl VerifyToken for ClaimsVerifier {
    async fn verify(&self, access_token: &str, stale: bool) -> Result<(), RefreshError> {
        let expected = Expected {
            may_have_expired: stale,
            ..Expected::access_token(&self.issuers, self.audience.as_deref())
        };
        self.keys.verify(access_token, &expected).await.map(|_| ()).map_err(unverified)
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
