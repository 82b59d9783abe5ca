//! The token a handler works with.

use std::{fmt, sync::Arc, time::SystemTime};

use http::HeaderValue;
use serde::de::DeserializeOwned;

use super::{CachedToken, ClaimsError, ClaimsVerifier};
use crate::error::RefreshError;

/// An access token that was fresh when the request asked for it, or is marked [stale](Self::is_stale). Cheap to clone. `Debug` does not show it.
///
/// What it says is trusted because of where it came from: the token endpoint's own answer over TLS, kept on the server side. It
/// never passed through the browser, so its signature is verified only where [`ClaimsTrust::Verified`](crate::ClaimsTrust) asks for it.
///
/// With the `axum` feature it is an extractor; see [`TokenRefreshLayer`](crate::TokenRefreshLayer) for who answers when there is
/// no token.
#[derive(Clone)]
pub struct AccessToken {
    token: Arc<CachedToken>,
    stale: bool,
    /// None where claims need no verification.
    verifier: Option<ClaimsVerifier>,
}

impl AccessToken {
    pub(crate) fn new(token: Arc<CachedToken>, verifier: Option<ClaimsVerifier>) -> Self {
        Self { token, stale: false, verifier }
    }

    pub(crate) fn marked_stale(self) -> Self {
        Self { stale: true, ..self }
    }

    pub(crate) fn cached(&self) -> &Arc<CachedToken> {
        &self.token
    }

    /// Whether the token has expired and is served all the same, because the provider cannot be asked and
    /// [`OnUnavailable::ServeExpired`](crate::OnUnavailable::ServeExpired) is chosen.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    /// The token itself. Handle with care: whoever has it is the user.
    #[must_use]
    pub fn secret(&self) -> &str {
        self.token.access_token.expose()
    }

    /// The value of an `Authorization` header (RFC 6750 section 2.1), marked sensitive so that clients do not print it.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        self.token.access_token.header().clone()
    }

    /// When the token expires, on the wall clock.
    #[must_use]
    pub fn expires_at(&self) -> SystemTime {
        self.token.expires_at
    }

    /// The scope as the provider told it (RFC 6749 section 3.3), if it did.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.token.scope.as_deref()
    }

    /// Whom the token is for: the `sub` of the ID token or, without one, of the access token. None for opaque tokens alone.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.token.subject.as_deref()
    }

    /// Verifies the token where the refresher's [`claims_trust`](crate::TokenRefresherBuilder::claims_trust) asks for it and nobody has
    /// done so yet; otherwise it returns at once. The first token that a new key of the provider's has signed may wait for one fetch, at
    /// most 5 s.
    ///
    /// # Errors
    /// [`Unavailable`](crate::RefreshErrorKind::Unavailable) if the provider's keys cannot be fetched in time,
    /// [`Misconfigured`](crate::RefreshErrorKind::Misconfigured) if the token does not verify or is not a JWT.
    pub async fn verify(&self) -> Result<(), RefreshError> {
        match &self.verifier {
            None => Ok(()),
            // Boxed: few ask for it, and every handler with claims would carry it.
            Some(verifier) => Box::pin(verifier.verify(&self.token, self.stale)).await,
        }
    }

    /// The token's claims, if it is a JWT. The first `T` asked for is decoded once per token, another one each time.
    ///
    /// # Errors
    /// The token is opaque, or its claims do not fit `T`, or they are to be verified and [`verify`](Self::verify) has not been called.
    pub fn claims<T: DeserializeOwned + Send + Sync + 'static>(
        &self,
    ) -> Result<Arc<T>, ClaimsError> {
        if self.verifier.is_some() && !self.token.is_verified() {
            return Err(ClaimsError::NotVerified);
        }
        self.token.claims_as()
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken")
            .field("expires_at", &self.expires_at())
            .field("stale", &self.stale)
            .finish_non_exhaustive()
    }
}
