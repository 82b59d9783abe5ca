//! [`Provider`]: a [`TokenEndpoint`](super::TokenEndpoint) whose settings have been checked, ready to be asked.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::{HeaderValue, Uri};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, sleep, timeout_at};
use url::form_urlencoded::Serializer;

use super::{
    address::SchemeRule,
    auth::ClientAuth,
    dead_tokens::Fingerprint,
    discovery::{Discovery, DiscoveryError, Metadata},
    error::{EndpointError, EndpointErrorKind as Kind},
    exchange::{Answer, Exchange},
    gate::{Gate, NotAsked, random},
    limits::ProviderLimits,
    resend, wire,
};
use crate::{Clock, error::Chain, metrics, tokens::TokenSet};

/// What kind of token is to be revoked (RFC 7009, 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenTypeHint {
    RefreshToken,
    AccessToken,
}

/// How a revocation that did not fail ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Revocation {
    /// The provider says that the token is good for nothing now.
    Revoked,
    /// The provider has no revocation endpoint. Nothing was sent.
    NotSupported,
}

#[async_trait::async_trait]
pub(crate) trait BeforeAttempt: Send { async fn before_attempt(&mut self) -> Result<(), Aborted>; }
pub(crate) struct Aborted;
pub(crate) enum RefreshFailure { Aborted, Endpoint(EndpointError) }
impl From<EndpointError> for RefreshFailure { fn from(e: EndpointError) -> Self { Self::Endpoint(e) } }
/// Cheap to clone; clones share connections and what discovery found.
#[derive(Clone)]
pub(crate) struct Provider {
    pub(super) issuer_id: Arc<str>,
    /// What `iss` of its tokens is, where it was given or discovered.
    pub(super) issuer: Option<Arc<str>>,
    pub(super) auth: ClientAuth,
    pub(super) exchange: Exchange,
    pub(super) addresses: Addresses,
    pub(super) limits: ProviderLimits,
    pub(super) clock: Clock,
    /// Made by the first refresh of any clone of the endpoint, with that one's clock.
    pub(super) gate: Arc<OnceLock<Gate>>,
}

/// Where the provider's endpoints are.
#[derive(Clone)]
pub(super) enum Addresses {
    Given(Arc<Metadata>),
    /// Found by discovery on first use; what was given wins over what it finds.
    Discovered {
        discovery: Arc<Discovery>,
        rule: SchemeRule,
        given: Arc<Given>,
    },
}

/// The addresses given beside discovery.
pub(super) struct Given {
    pub(super) revocation: Option<Uri>,
    pub(super) end_session: Option<Uri>,
    pub(super) jwks: Option<Uri>,
}

impl Provider {
    /// Where the breaker and the dead tokens read the time, and an answer gets its own.
    pub(crate) fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Presents `refresh_token` (RFC 6749, 6): once, unless it is certain that it was not used up (see [`resend`]). `obtained_at` is
    /// when the request that was answered was sent; `issuer` and a refresh token the provider did not rotate are the caller's to
    /// fill in.
    pub(crate) async fn refresh(&self, refresh_token: &SecretString, before: &mut dyn BeforeAttempt) -> Result<TokenSet, RefreshFailure> {
        let gate = self.gate.get_or_init(|| Gate::new(&self.limits, self.clock.clone()));
        let token = Fingerprint::of(refresh_token.expose_secret());
        gate.refuse_dead(&token)?;

        // Timers are compared with timers only, never with the Clock.
        let last_start =
            sleep(self.longest_refresh().saturating_sub(self.exchange.limit)).deadline();
        let mut waited_until = Duration::ZERO;
        let mut attempts_left = self.limits.attempts;
        loop {
            let entered =
                timeout_at(last_start, gate.enter(waited_until, self.exchange.limit)).await;
            let pass =
                entered.unwrap_or_else(|_elapsed| Err(NotAsked::TooLate.into_error(None)))?;
            let outcome = self.present(refresh_token, last_start, before).await;
            let outcome = match outcome { Ok(a) => Ok(a), Err(RefreshFailure::Endpoint(e)) => Err(e), Err(RefreshFailure::Aborted) => return Err(RefreshFailure::Aborted) };
            pass.told(&outcome);
            let error = match outcome {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if *error.kind() == Kind::InvalidGrant {
                gate.note_dead(token);
            }
            attempts_left = attempts_left.saturating_sub(1);
            let Some(wait) = resend::pause_after(&error, random()).filter(|_| attempts_left > 0)
            else {
                return Err(error.into());
            };
            waited_until = gate.clock.monotonic().saturating_add(wait);
            let pause = sleep(wait);
            if pause.deadline() > last_start {
                return Err(error.into());
            }
            metrics::request_resent();
            tracing::debug!(error = %Chain(&error), ?wait, "a token request is sent again after a pause");
            pause.await;
        }
    }

    /// Presents the token once, if the endpoint is known before `last_start`.
    async fn present(
        &self,
        refresh_token: &SecretString,
        last_start: Instant,
        before: &mut dyn BeforeAttempt,
    ) -> Result<TokenSet, RefreshFailure> {
        let Ok(to) = timeout_at(last_start, self.metadata()).await else {
            return Err(EndpointError::new(Kind::Unreachable).with_source(NotAsked::TooLate).into());
        };
        let to = to.map_err(EndpointError::from)?;
        if let Err(Aborted) = before.before_attempt().await { return Err(RefreshFailure::Aborted); }
        let pairs =
            [("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose_secret())];
        let sent_at = self.clock.now();
        let answer = self.post(&to.token, &pairs).await?;
        Ok(wire::token_answer(answer)?.with_obtained_at(sent_at))
    }

    /// Revokes `token` (RFC 7009). A token the provider does not know counts as revoked, as it says 200 to that too.
    pub(crate) async fn revoke(
        &self,
        token: &SecretString,
        hint: TokenTypeHint,
    ) -> Result<Revocation, EndpointError> {
        let to = self.metadata().await?;
        let Some(uri) = &to.revocation else { return Ok(Revocation::NotSupported) };
        let hint = match hint {
            TokenTypeHint::RefreshToken => "refresh_token",
            TokenTypeHint::AccessToken => "access_token",
        };
        let pairs = [("token", token.expose_secret()), ("token_type_hint", hint)];
        wire::revocation_answer(&self.post(uri, &pairs).await?)?;
        Ok(Revocation::Revoked)
    }

    /// The issuer as it stands in a flight's key: the one given, else the discovered one, else the token URL
    /// without its query.
    pub(crate) fn issuer_id(&self) -> &str {
        &self.issuer_id
    }

    /// What `iss` of its tokens is, if that was given or discovered.
    pub(crate) fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// This client's id: `aud` of its ID tokens.
    pub(crate) fn client_id(&self) -> &str {
        self.auth.client_id()
    }

    /// Whether nothing says where the keys are, nor can discovery find out.
    pub(crate) fn has_no_keys(&self) -> bool {
        matches!(&self.addresses, Addresses::Given(metadata) if metadata.jwks.is_none())
    }

    /// The longest a [`refresh`](Self::refresh) takes, with discovery, the queue, all attempts and the pauses between them.
    pub(crate) fn longest_refresh(&self) -> Duration {
        // Two also for one attempt: discovery or the queue may come before it.
        self.exchange.limit.saturating_mul(self.limits.attempts.max(2))
    }

    pub(crate) fn request_timeout(&self) -> Duration { self.exchange.limit }
    pub(crate) async fn end_session_url(&self) -> Result<Option<Uri>, DiscoveryError> { Ok(self.metadata().await?.end_session.clone()) }
    pub(super) async fn metadata(&self) -> Result<Arc<Metadata>, DiscoveryError> {
        match &self.addresses {
            Addresses::Given(metadata) => Ok(Arc::clone(metadata)),
            Addresses::Discovered { discovery, rule, given } => {
                let mut metadata = discovery.metadata(&self.exchange, rule).await?;
                if given.revocation.is_some() || given.end_session.is_some() || given.jwks.is_some()
                {
                    let found = Arc::make_mut(&mut metadata);
                    found.revocation = given.revocation.clone().or(found.revocation.take());
                    found.end_session = given.end_session.clone().or(found.end_session.take());
                    found.jwks = given.jwks.clone().or(found.jwks.take());
                }
                Ok(metadata)
            }
        }
    }

    async fn post(&self, uri: &Uri, pairs: &[(&str, &str)]) -> Result<Answer, EndpointError> {
        let (authorization, form) = self.form(pairs);
        self.exchange.post_form(uri, authorization, form).await
    }

    /// Apart from `post`, as the serializer is not `Send` and must not live across an await.
    fn form(&self, pairs: &[(&str, &str)]) -> (Option<HeaderValue>, String) {
        let mut form = Serializer::new(String::new());
        form.extend_pairs(pairs);
        (self.auth.apply(&mut form), form.finish())
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
