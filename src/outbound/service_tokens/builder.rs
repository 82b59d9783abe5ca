//! The settings of [`ServiceTokens`].

use std::{fmt, future::Future, sync::Arc, time::Duration};

use tower::BoxError;

use super::{
    ServiceTokens,
    source::{AtProvider, ByFn},
};
use crate::{
    clock::Clock,
    dpop::DpopKey,
    endpoint::{JwtBearer, TokenEndpoint, TokenTarget},
    error::ConfigError,
    outbound::slots::Slots,
    policy::RefreshPolicy,
    tokens::TokenSet,
};

/// The most targets whose tokens are kept.
const MOST_TARGETS: u64 = 10_000;
/// What a flight may take beside its requests, and where there are none.
const LONGEST_FLIGHT: Duration = Duration::from_secs(60);

/// Builds [`ServiceTokens`].
///
/// | setting | default |
/// |---|---|
/// | [`target`](Self::target) | none: the provider decides what the token is for |
/// | [`jwt_bearer`](Self::jwt_bearer) | none: client credentials |
/// | [`dpop_key`](Self::dpop_key) | none: bearer tokens |
/// | [`leeway`](Self::leeway) | 5 s; shrinks to a quarter of a token's life |
/// | [`refresh_ahead`](Self::refresh_ahead) | 60 s; shrinks to half of a token's life; 0 turns it off |
/// | [`wait_timeout`](Self::wait_timeout) | 10 s |
/// | [`fallback_lifetime`](Self::fallback_lifetime) | 1 h |
/// | [`clock`](Self::clock) | the system's |
#[must_use]
pub struct ServiceTokensBuilder {
    endpoint: TokenEndpoint,
    target: TokenTarget,
    jwt_bearer: Option<JwtBearer>,
    dpop_key: Option<DpopKey>,
    policy: RefreshPolicy,
    clock: Clock,
}

impl ServiceTokensBuilder {
    pub(super) fn new(endpoint: TokenEndpoint) -> Self {
        Self {
            endpoint,
            target: TokenTarget::new(),
            jwt_bearer: None,
            dpop_key: None,
            policy: RefreshPolicy::default(),
            clock: Clock::system(),
        }
    }

    pub(super) fn from_fn<F, A, E>(obtain: F) -> ServiceTokens
    where
        F: Fn(TokenTarget) -> A + Send + Sync + 'static,
        A: Future<Output = Result<TokenSet, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let policy = RefreshPolicy::default();
        let slots = Slots::new(MOST_TARGETS, None, policy, LONGEST_FLIGHT, Clock::system());
        ServiceTokens::new(slots, Arc::new(ByFn(obtain)), TokenTarget::new())
    }

    /// Sets what the tokens are for. [`ServiceTokens::for_target`] gives more of them.
    pub fn target(mut self, target: TokenTarget) -> Self {
        self.target = target;
        self
    }

    /// Presents a signed assertion instead of the client's credentials alone (RFC 7523, section
    /// 2.1), as for a service account of Google.
    pub fn jwt_bearer(mut self, bearer: JwtBearer) -> Self {
        self.jwt_bearer = Some(bearer);
        self
    }

    /// Binds the tokens to `key` (RFC 9449), as far as the provider does that: a proof goes with each
    /// request for a token. A [`BearerLayer`](crate::BearerLayer) sends one with each call.
    pub fn dpop_key(mut self, key: DpopKey) -> Self {
        self.dpop_key = Some(key);
        self
    }

    /// Sets how long before its expiry a token counts as expired: the time of the way to the API.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.policy.leeway = leeway;
        self
    }

    /// Sets how long before its expiry a token is fetched in the background: at a random moment of
    /// the first half of this window, so that not all processes ask at once.
    pub fn refresh_ahead(mut self, window: Duration) -> Self {
        self.policy.refresh_ahead = window;
        self
    }

    /// Sets how long a call waits for a token. Then it fails with
    /// [`WaitTimeout`](crate::RefreshErrorKind::WaitTimeout), while the token request runs on.
    /// Must be above 0.
    pub fn wait_timeout(mut self, limit: Duration) -> Self {
        self.policy.wait_timeout = limit;
        self
    }

    /// Sets after how long a token is fetched anew if the provider does not say how long it lives.
    /// Must be above 0.
    pub fn fallback_lifetime(mut self, lifetime: Duration) -> Self {
        self.policy.fallback_lifetime = lifetime;
        self
    }

    /// Sets the clock by which tokens expire, for tests.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Checks the settings. No request is made: see [`ServiceTokens::warm_up`].
    ///
    /// # Errors
    /// A setting is wrong; the error names it, its value and the rule.
    pub fn build(self) -> Result<ServiceTokens, ConfigError> {
        let Self { endpoint, target, jwt_bearer, dpop_key, policy, clock } = self;
        policy.validate()?;
        target.check()?;
        if let Some(bearer) = &jwt_bearer {
            bearer.check()?;
        }
        let provider = endpoint.validate()?.with_clock(clock.clone()).for_requests("service");
        let provider = provider.with_wait_limit(policy.wait_timeout);
        let flight_timeout = provider.longest_refresh().saturating_add(LONGEST_FLIGHT);
        let slots = Slots::new(MOST_TARGETS, None, policy, flight_timeout, clock);
        Ok(ServiceTokens::new(
            slots,
            Arc::new(AtProvider { provider, jwt_bearer, dpop_key }),
            target,
        ))
    }
}

impl fmt::Debug for ServiceTokensBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceTokensBuilder")
            .field("endpoint", &self.endpoint)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}
