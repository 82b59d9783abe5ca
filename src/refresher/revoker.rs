//! Takes tokens back at the provider (RFC 7009).

use crate::{
    endpoint::{EndpointError, Provider, Revocation, TokenTypeHint},
    error::Chain,
    tokens::{CachedToken, GrantTokens, RecordKey},
};
use secrecy::SecretString;

#[derive(Clone)]
pub(super) struct Revoker {
    provider: Provider,
    enabled: bool,
}

impl Revoker {
    pub(super) fn new(provider: Provider, enabled: bool) -> Self {
        Self { provider, enabled }
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
    ) -> Result<Revocation, EndpointError> {
        match &tokens.refresh_token {
            Some(token) => self.ask(key, token, TokenTypeHint::RefreshToken).await,
            None => self.revoke_access_token(key, tokens.access_token.expose()).await,
        }
    }

    /// Revokes the only token that this process still knows of a login.
    pub(super) async fn revoke_cached(
        &self,
        token: &CachedToken,
    ) -> Result<Revocation, EndpointError> {
        self.revoke_access_token(token.key, token.access_token.expose()).await
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
        token: &str,
    ) -> Result<Revocation, EndpointError> {
        self.ask(key, &SecretString::from(token), TokenTypeHint::AccessToken).await
    }

    async fn ask(
        &self,
        key: RecordKey,
        token: &SecretString,
        hint: TokenTypeHint,
    ) -> Result<Revocation, EndpointError> {
        let revoked = self.provider.revoke(token, hint).await;
        if let Err(error) = &revoked {
            tracing::warn!(login = %key, error = %Chain(error), "the provider did not revoke the tokens");
        }
        revoked
    }
}
