//! Takes tokens back at the provider (RFC 7009).

use std::sync::Arc;

use secrecy::SecretString;

use super::{errors::endpoint_failed, providers::Providers};
use crate::{
    endpoint::{Revocation, TokenTypeHint},
    error::{Chain, RefreshError},
    metrics::Meter,
    tokens::{CachedToken, GrantTokens, HeaderToken, RecordKey},
};

#[derive(Clone)]
pub(super) struct Revoker {
    providers: Arc<Providers>,
    meter: Arc<Meter>,
    enabled: bool,
}

impl Revoker {
    pub(super) fn new(providers: Arc<Providers>, meter: Arc<Meter>, enabled: bool) -> Self {
        Self { providers, meter, enabled }
    }

    /// Whether the application wants tokens revoked.
    pub(super) fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Revokes the refresh token, with which providers end the access token as well; without one
    /// the access token.
    pub(super) async fn revoke(
        &self,
        key: RecordKey,
        tokens: &GrantTokens,
    ) -> Result<Revocation, RefreshError> {
        match &tokens.refresh_token {
            Some(token) => self.ask(key, &tokens.issuer, token, TokenTypeHint::RefreshToken).await,
            None => self.revoke_access_token(key, &tokens.issuer, &tokens.access_token).await,
        }
    }

    /// Revokes the only token that this process still knows of a login.
    pub(super) async fn revoke_cached(
        &self,
        token: &CachedToken,
    ) -> Result<Revocation, RefreshError> {
        self.revoke_access_token(token.key, &token.issuer, &token.access_token).await
    }

    /// Revokes tokens that nobody waits for, if the application wants that. What fails is logged.
    pub(super) async fn revoke_unwanted(&self, key: RecordKey, tokens: &GrantTokens) {
        if self.enabled {
            let _ = self.revoke(key, tokens).await;
        }
    }

    async fn revoke_access_token(
        &self,
        key: RecordKey,
        issuer: &str,
        token: &HeaderToken,
    ) -> Result<Revocation, RefreshError> {
        self.ask(key, issuer, &token.expose().into(), TokenTypeHint::AccessToken).await
    }

    async fn ask(
        &self,
        key: RecordKey,
        issuer: &str,
        token: &SecretString,
        hint: TokenTypeHint,
    ) -> Result<Revocation, RefreshError> {
        let revoked = async {
            let at = self.providers.of(issuer).await?;
            at.provider.revoke(token, hint).await.map_err(endpoint_failed)
        }
        .await;
        self.meter.revoked(match &revoked {
            Ok(Revocation::Revoked) => "revoked",
            Ok(Revocation::NotSupported) => "not_supported",
            Err(error) => error.kind().name(),
        });
        if let Err(error) = &revoked {
            tracing::warn!(login = %key, error = %Chain(error), "the provider did not revoke the tokens");
        }
        revoked
    }
}
