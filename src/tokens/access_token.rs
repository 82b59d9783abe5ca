//! The token a handler works with.

use std::{fmt, sync::Arc, time::SystemTime};

use arc_swap::Guard;
use http::{HeaderValue, Method, Uri};
use serde::de::DeserializeOwned;

use super::{CachedToken, ClaimsError, VerifyToken};
use crate::{dpop::DpopProof, error::RefreshError};

/// An access token that was fresh when the request got it, or is marked [stale](Self::is_stale).
/// Cheap to clone. `Debug` does not show the token.
///
/// Its claims are trusted because of where it came from: the token endpoint sent it over TLS, and
/// it never passed through the browser. Its signature is verified only with
/// [`ClaimsTrust::Verified`](crate::ClaimsTrust).
///
/// With the `axum` feature it is an extractor. [`TokenRefreshLayer`](crate::TokenRefreshLayer) says
/// who answers when there is no token.
pub struct AccessToken {
    /// Counted, or lent by an `ArcSwap`, which spares all threads one counter. A thread has places
    /// for eight that are lent; of more than that each is counted, and costs some nanoseconds more.
    token: Guard<Arc<CachedToken>>,
    served: Served,
    /// None where claims need no verification.
    verifier: Option<Arc<dyn VerifyToken>>,
}

/// As wide as the fields beside it. The bytes that pad a `bool` are copied on their own whenever a
/// token is handed on, which takes 15 ns per call (`cargo bench --bench outbound`).
#[derive(Clone, Copy)]
#[repr(usize)]
enum Served {
    Fresh,
    Stale,
}

impl AccessToken {
    pub(crate) fn new(
        token: impl Into<Guard<Arc<CachedToken>>>,
        verifier: Option<Arc<dyn VerifyToken>>,
    ) -> Self {
        Self { token: token.into(), served: Served::Fresh, verifier }
    }

    pub(crate) fn marked_stale(self) -> Self {
        Self { served: Served::Stale, ..self }
    }

    pub(crate) fn cached(&self) -> &Arc<CachedToken> {
        &self.token
    }

    /// Whether the token has expired and is served because the provider cannot be reached. That
    /// needs [`OnUnavailable::ServeExpired`](crate::OnUnavailable::ServeExpired).
    #[must_use]
    pub fn is_stale(&self) -> bool {
        matches!(self.served, Served::Stale)
    }

    /// The token itself. Handle with care: whoever has it is the user.
    #[must_use]
    pub fn secret(&self) -> &str {
        self.token.access_token.expose()
    }

    /// The value of an `Authorization` header (RFC 6750, section 2.1). It is marked sensitive, so
    /// that clients do not print it. A token that is bound to a key needs a
    /// [`dpop_proof`](Self::dpop_proof) beside it.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        self.token.access_token.header().clone()
    }

    /// Begins the proof for a request with this token, if the token is bound to a
    /// [`DpopKey`](crate::DpopKey) (RFC 9449, section 7). None for a bearer token, which needs no
    /// proof.
    ///
    /// A [`BearerLayer`](crate::BearerLayer) sends it, and repeats the API's nonces.
    #[must_use]
    pub fn dpop_proof(&self, method: &Method, uri: &Uri) -> Option<DpopProof> {
        let key = self.token.dpop_key.as_ref()?;
        Some(key.proof(method, uri).access_token(self.secret()))
    }

    /// When the token expires, on the wall clock.
    #[must_use]
    pub fn expires_at(&self) -> SystemTime {
        self.token.expires_at
    }

    /// The scope that the provider named (RFC 6749, section 3.3), if it named one.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.token.scope.as_deref()
    }

    /// The issuer that the login is at: the provider's `iss` if it is known, else the URL of its token
    /// endpoint. None for a token without a login.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        Some(&*self.token.issuer).filter(|issuer| !issuer.is_empty())
    }

    /// The user: the `sub` of the ID token or, without one, of the access token. None if all tokens
    /// are opaque. It is unique at its issuer only: two providers may give the same one to two
    /// people, so an application with several providers knows a user by issuer and subject.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.token.subject.as_deref()
    }

    /// Verifies the token, if the refresher's
    /// [`claims_trust`](crate::TokenRefresherBuilder::claims_trust) wants that and it has not been
    /// done yet. Otherwise it returns at once. If the provider has a new key, the first token of
    /// that key waits for one fetch, at most 5 s.
    ///
    /// # Errors
    /// [`Unavailable`](crate::RefreshErrorKind::Unavailable) if the provider's keys cannot be
    /// fetched in time, [`Misconfigured`](crate::RefreshErrorKind::Misconfigured) if the token does
    /// not verify or is not a JWT.
    pub async fn verify(&self) -> Result<(), RefreshError> {
        let Some(verifier) = self.verifier.as_ref().filter(|_| !self.token.is_verified()) else {
            return Ok(());
        };
        verifier.verify(&self.token, self.is_stale()).await?;
        self.token.mark_verified();
        Ok(())
    }

    /// The token's claims, if it is a JWT. The first `T` is decoded once per token, another one
    /// each time. [`StandardClaims`](crate::StandardClaims) take odd claims as absent; a field of
    /// your own `T` must fit.
    ///
    /// # Errors
    /// The token is opaque, or its claims do not fit `T`, or they need [`verify`](Self::verify)
    /// first.
    pub fn claims<T: DeserializeOwned + Send + Sync + 'static>(
        &self,
    ) -> Result<Arc<T>, ClaimsError> {
        if self.verifier.is_some() && !self.token.is_verified() {
            return Err(ClaimsError::NotVerified);
        }
        self.token.claims_as()
    }
}

impl Clone for AccessToken {
    fn clone(&self) -> Self {
        let (token, verifier) = (Arc::clone(&self.token), self.verifier.clone());
        Self { token: token.into(), served: self.served, verifier }
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken")
            .field("expires_at", &self.expires_at())
            .field("stale", &self.is_stale())
            .finish_non_exhaustive()
    }
}
