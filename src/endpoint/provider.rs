//! [`Provider`]: sends token requests and revocations to one provider.
//!
//! A [`TokenEndpoint`](super::TokenEndpoint) whose settings have been checked becomes a `Provider`.
//! All clones of a provider share its connections, its discovery document, its circuit breaker and
//! its queue. This is what a refresh does:
//!
//! ```text
//! did the provider reject this token a moment ago?  -> InvalidGrant, nothing is sent
//! loop, while attempts and time are left:
//!   admission: breaker, refusals, queue, both again -> nothing is sent
//!   discovery, if it has not succeeded yet
//!   this client's credentials                       -> NoCredentials, nothing is sent
//!   the caller's BeforeAttempt                      -> Aborted, nothing is sent
//!   POST, read the answer, record it; once more with the DPoP nonce that the provider wants
//!   sent again only if the token is certainly not used up (see `resilience::retry`)
//! ```

mod addresses;
mod credentials;
#[cfg(feature = "login")]
mod login;
mod token_request;

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Uri};
use secrecy::SecretString;
use tokio::time::{Instant, sleep, timeout_at};

pub(super) use self::addresses::{Addresses, Overrides};
#[cfg(feature = "login")]
pub(crate) use self::login::AuthorizationRequest;
use self::token_request::{Attempts, Presented};
use super::{
    attempt::{AlwaysSend, BeforeAttempt, RefreshFailure},
    auth::ClientAuth,
    authorization_grant::AuthorizationGrant,
    classify::Classify,
    discovery::Metadata,
    error::{EndpointError, EndpointErrorKind as Kind},
    exchange::{Answer, Exchange},
    issuers::Issuers,
    request::{self, Params, TokenTypeHint},
    resilience::{
        Admission, BreakerState, Fingerprint, HeldBack, ProviderLimits, pause_before_retry, random,
    },
    response::{self, Granted},
};
use crate::{
    Clock,
    dpop::{DpopKey, ServerNonce},
    error::Chain,
    metrics::ProviderMeter,
    tokens::TokenSet,
};

/// The result of a revocation that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Revocation {
    /// The provider says that the token no longer works.
    Revoked,
    /// The provider has no revocation endpoint. Nothing was sent.
    NotSupported,
}

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Provider {
    pub(super) issuer_id: Arc<str>,
    /// The `iss` that its tokens may have, if an issuer was configured or discovered.
    pub(super) issuers: Option<Issuers>,
    pub(super) auth: ClientAuth,
    pub(super) exchange: Exchange,
    pub(super) addresses: Addresses,
    pub(super) limits: ProviderLimits,
    /// How long a refresh waits for its turn.
    pub(super) longest_wait: Duration,
    pub(super) refresh_params: Params,
    pub(super) classify: Classify,
    pub(super) clock: Clock,
    pub(super) admission: Arc<Admission>,
    pub(super) meter: ProviderMeter,
    /// What the token endpoint wants to see in the next proof.
    pub(super) dpop_nonce: ServerNonce,
}

impl Provider {
    /// The longest that one request may take, from connecting to the last byte of the answer.
    pub(crate) fn request_timeout(&self) -> Duration {
        self.exchange.limit
    }

    /// Uses `clock` for the breaker, the dead tokens and the time of each answer.
    ///
    /// It starts with a new breaker and queue, so call it before you clone the provider.
    pub(crate) fn with_clock(mut self, clock: Clock) -> Self {
        let meter = self.meter.clone();
        self.admission = Arc::new(Admission::new(&self.limits, clock.clone(), meter));
        self.clock = clock;
        self
    }

    /// The same provider with a breaker and a queue of their own for these requests; the name is a
    /// label of metrics.
    pub(crate) fn for_requests(mut self, requests: &'static str) -> Self {
        self.meter = self.meter.of(requests);
        self.meter.breaker_is(BreakerState::Closed as u8);
        let clock = self.clock.clone();
        self.with_clock(clock)
    }

    /// Lets no refresh wait longer for its turn than a request waits for the refresh.
    pub(crate) fn with_wait_limit(mut self, limit: Duration) -> Self {
        self.longest_wait = self.longest_wait.min(limit);
        self
    }

    /// Sends `refresh_token` to the token endpoint (RFC 6749, section 6), and once more only if the
    /// provider certainly did not use it up. It awaits `before` ahead of every attempt.
    ///
    /// `key`: what the refresh token is bound to.
    ///
    /// `obtained_at` of the result is the time at which the answered request was sent. The caller
    /// fills in `issuer`, and the old refresh token if the provider did not rotate it.
    pub(crate) async fn refresh(
        &self,
        refresh_token: &SecretString,
        key: Option<&DpopKey>,
        before: &mut dyn BeforeAttempt,
    ) -> Result<Granted, RefreshFailure> {
        let presented = Presented { grant: AuthorizationGrant::RefreshToken(refresh_token), key };
        let fingerprint = presented.grant.fingerprint();
        let answer = match self.admission.refuse_dead(&fingerprint) {
            Ok(()) => self.request(presented, fingerprint, before).await,
            Err(dead) => Err(self.held_back(dead).into()),
        };
        if let Err(RefreshFailure::Endpoint(error)) = &answer
            && *error.kind() == Kind::InvalidGrant
        {
            self.admission.remember_dead(fingerprint);
        }
        answer
    }

    /// An access token for `grant`, which is no refresh token. A refresh token that comes with it is
    /// dropped (RFC 6749, section 4.4.3). It is sent again as a refresh is.
    ///
    /// `key`: what the token is to be bound to.
    pub(crate) async fn obtain(
        &self,
        grant: AuthorizationGrant<'_>,
        key: Option<&DpopKey>,
    ) -> Result<TokenSet, EndpointError> {
        let (presented, fingerprint) = (Presented { grant, key }, grant.fingerprint());
        match self.request(presented, fingerprint, &mut AlwaysSend).await {
            Ok(Granted::Tokens(tokens)) => Ok(*tokens),
            Ok(Granted::RefreshTokenOnly(_, error)) | Err(RefreshFailure::Endpoint(error)) => {
                Err(error)
            }
            Err(RefreshFailure::Aborted) => unreachable!("`AlwaysSend` calls nothing off"),
        }
    }

    /// Sends `grant`, and once more only if the provider certainly did not act on it.
    async fn request(
        &self,
        presented: Presented<'_>,
        fingerprint: Fingerprint,
        before: &mut dyn BeforeAttempt,
    ) -> Result<Granted, RefreshFailure> {
        // Deadlines are compared with tokio's timer only, never with the Clock.
        let last_start =
            sleep(self.longest_refresh().saturating_sub(self.exchange.limit)).deadline();
        let mut waited_until = Duration::ZERO;
        let mut attempts_left = self.limits.attempts;
        let mut attempts = Attempts::default();
        loop {
            let admitted = timeout_at(
                last_start,
                self.admission.admit(fingerprint, waited_until, self.longest_wait),
            );
            let admitted = admitted
                .await
                .unwrap_or_else(|_elapsed| Err(HeldBack::NoTimeLeft.into_error(None)));
            let pass = admitted.map_err(|error| self.held_back(error))?;
            let error = match self.attempt(pass, presented, before, last_start, &mut attempts).await
            {
                Err(RefreshFailure::Endpoint(error)) => error,
                tokens_or_aborted => return tokens_or_aborted,
            };
            attempts_left = attempts_left.saturating_sub(1);
            let wait = pause_before_retry(&error, random()).filter(|_| attempts_left > 0);
            let Some(wait) = wait else { return Err(error.into()) };
            waited_until = self.admission.after(wait);
            let pause = sleep(wait);
            if pause.deadline() > last_start {
                return Err(error.into());
            }
            tracing::debug!(error = %Chain(&error), ?wait, "retrying the token request");
            pause.await;
        }
    }

    async fn metadata_before(&self, last_start: Instant) -> Result<Arc<Metadata>, EndpointError> {
        match timeout_at(last_start, self.metadata()).await {
            Ok(found) => Ok(found?),
            Err(_elapsed) => {
                let late = EndpointError::new(Kind::Unreachable).with_source(HeldBack::NoTimeLeft);
                Err(self.held_back(late))
            }
        }
    }

    /// Counts a request that was not sent.
    fn held_back(&self, error: EndpointError) -> EndpointError {
        self.meter.held_back(&error);
        error
    }

    pub(crate) fn meter(&self) -> &ProviderMeter {
        &self.meter
    }

    /// What its circuit breaker does with refreshes now.
    pub(crate) fn breaker_state(&self) -> BreakerState {
        self.admission.breaker_state()
    }

    /// Revokes `token` (RFC 7009). Providers also confirm the revocation of a token that they do
    /// not know.
    pub(crate) async fn revoke(
        &self,
        token: &SecretString,
        hint: TokenTypeHint,
    ) -> Result<Revocation, EndpointError> {
        let metadata = self.metadata().await?;
        let Some(to) = metadata.revocation_url(self.is_mtls()) else {
            return Ok(Revocation::NotSupported);
        };
        let deadline = sleep(self.exchange.limit).deadline();
        let credentials = self.credentials(&metadata, to, deadline).await?;
        let answer = self.send(request::revocation(to, credentials, token, hint)).await?;
        response::revocation_answer(&answer).map_err(|error| self.auth.explain(error, None))?;
        Ok(Revocation::Revoked)
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Answer, EndpointError> {
        self.exchange.send(request, self.exchange.max_answer).await
    }

    /// The issuer that token records name: the configured one, else the discovered one, else the
    /// token URL without its query.
    pub(crate) fn issuer_id(&self) -> &str {
        &self.issuer_id
    }

    /// The `iss` of its tokens, if that was configured or discovered.
    pub(crate) fn issuer(&self) -> Option<&str> {
        self.issuers().map(Issuers::own)
    }

    /// The `iss` that its tokens may have, if an issuer was configured or discovered.
    pub(crate) fn issuers(&self) -> Option<&Issuers> {
        self.issuers.as_ref()
    }

    /// The client id, which is also the `aud` of its ID tokens.
    pub(crate) fn client_id(&self) -> &str {
        self.auth.client_id()
    }

    /// Whether its tokens can be verified: its issuer is known, and its keys are configured or may be
    /// discovered.
    pub(crate) fn can_verify(&self) -> bool {
        let has_no_keys =
            matches!(&self.addresses, Addresses::Configured(metadata) if metadata.jwks.is_none());
        self.issuers.is_some() && !has_no_keys
    }

    /// The longest time that a [`refresh`](Self::refresh) takes, with discovery, the queue, all
    /// attempts and the pauses between them, but without the caller's [`BeforeAttempt`].
    pub(crate) fn longest_refresh(&self) -> Duration {
        // At least two, even for one attempt: discovery or the queue may come first.
        self.exchange.limit.saturating_mul(self.limits.attempts.max(2))
    }

    /// Fetches a document of the provider that needs no authentication, such as its keys.
    pub(super) async fn fetch(&self, at: &Uri, max_bytes: usize) -> Result<Bytes, EndpointError> {
        let answer = self.exchange.send(request::document(at), max_bytes).await?;
        response::document_answer(answer)
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider")
            .field("issuer_id", &self.issuer_id)
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
