//! Which provider a login belongs to: the one that its token record names as its issuer.
//!
//! Mostly there is one. With an [`EndpointResolver`] there are as many as it knows; each has its own
//! connections, limits, keys and count of rejections, so that no tenant suffers from the provider of
//! another one.

use std::{sync::Arc, time::Duration};

use moka::sync::Cache;
use tokio::sync::OnceCell;
use tokio_util::task::AbortOnDropHandle;
use tower::BoxError;

use super::{
    claims_verifier::ClaimsTrustCheck,
    errors::{internal, misconfigured, unavailable},
    rejections::Rejections,
};
use crate::{
    back_channel::BackChannel,
    clock::Clock,
    endpoint::{EndpointResolver, Keys, Provider, TokenEndpoint},
    error::{ConfigError, RefreshError},
    policy::RefreshPolicy,
};

/// The most providers whose connections are kept.
const MOST: u64 = 10_000;

/// A provider, and what this process knows of it.
pub(crate) struct AtProvider {
    pub(crate) provider: Provider,
    /// The same, with limits and a breaker of its own: an exchange that is refused must not hold up
    /// refreshes.
    pub(crate) exchanges: Provider,
    /// And for logins, which anybody may begin.
    #[cfg(feature = "login")]
    pub(crate) logins: Provider,
    pub(crate) keys: Keys,
    pub(super) rejections: Rejections,
}

pub(crate) struct Providers {
    own: Arc<AtProvider>,
    others: Option<Others>,
}

struct Others {
    resolver: Arc<dyn EndpointResolver>,
    known: Cache<Arc<str>, Arc<OnceCell<Arc<AtProvider>>>>,
    make: Make,
}

/// What all providers of a refresher have in common.
#[derive(Clone)]
pub(super) struct Make {
    pub(super) policy: RefreshPolicy,
    pub(super) trust: ClaimsTrustCheck,
    /// Whether the providers tell who has logged out.
    pub(super) back_channel: bool,
    pub(super) clock: Clock,
}

impl Make {
    fn provider(&self, endpoint: &TokenEndpoint) -> Result<AtProvider, ConfigError> {
        let provider = endpoint.validate()?.with_clock(self.clock.clone());
        let provider = provider.for_requests("refresh").with_wait_limit(self.policy.wait_timeout);
        self.trust.check(&provider)?;
        if self.back_channel {
            BackChannel::check(&provider)?;
        }
        let exchanges = provider.clone().for_requests("exchange");
        #[cfg(feature = "login")]
        let logins = provider.clone().for_requests("login");
        let keys = Keys::new(provider.clone(), self.clock.clone());
        let rejections = Rejections::new(self.policy.end_after_rejections, self.clock.clone());
        Ok(AtProvider {
            provider,
            exchanges,
            #[cfg(feature = "login")]
            logins,
            keys,
            rejections,
        })
    }
}

impl Providers {
    pub(super) fn new(
        endpoint: &TokenEndpoint,
        resolver: Option<Arc<dyn EndpointResolver>>,
        make: Make,
    ) -> Result<Self, ConfigError> {
        let own = Arc::new(make.provider(endpoint)?);
        let others = resolver.map(|resolver| {
            let known = Cache::builder().max_capacity(MOST).build();
            Others { resolver, known, make }
        });
        Ok(Self { own, others })
    }

    /// The one that the refresher was built with.
    pub(crate) fn own(&self) -> Arc<AtProvider> {
        self.own.clone()
    }

    pub(super) fn are_several(&self) -> bool {
        self.others.is_some()
    }

    /// The provider with this issuer.
    pub(crate) async fn of(&self, issuer: &str) -> Result<Arc<AtProvider>, RefreshError> {
        if issuer == self.own.provider.issuer_id() {
            return Ok(self.own.clone());
        }
        let Some(others) = &self.others else {
            return Err(misconfigured(format!(
                "the login is at {issuer:?}, and this refresher is for {:?}",
                self.own.provider.issuer_id()
            )));
        };
        let cell = others.known.get_with(issuer.into(), Arc::default);
        // An error is not kept: the next one asks again.
        let found = cell.get_or_try_init(|| others.ask(issuer, &self.own.provider)).await;
        found.cloned().inspect_err(|_| others.forget_unresolved(issuer, &cell))
    }
}

impl Others {
    async fn ask(&self, issuer: &str, own: &Provider) -> Result<Arc<AtProvider>, RefreshError> {
        let Some(endpoint) = self.endpoint_of(issuer, own.request_timeout()).await? else {
            let message =
                format!("the endpoint resolver knows no provider with the issuer {issuer:?}");
            return Err(misconfigured(message));
        };
        let wrong = |why: String| misconfigured(format!("the endpoint for {issuer:?}: {why}"));
        // It reads the files of secrets and certificates.
        let make = self.make.clone();
        let made = tokio::task::spawn_blocking(move || make.provider(&endpoint));
        let made = match tokio::time::timeout(own.request_timeout(), made).await {
            Ok(made) => made.map_err(|_panic| internal())?,
            Err(_elapsed) => {
                return Err(resolver_failed("a file could not be read in time".into()));
            }
        };
        let made = made.map_err(|error| wrong(error.to_string()))?;
        let named = made.provider.issuer_id();
        if named != issuer {
            return Err(wrong(format!("its issuer is {named:?}")));
        }
        let limits = [
            ("request_timeout", made.provider.request_timeout(), own.request_timeout()),
            ("a whole refresh", made.provider.longest_refresh(), own.longest_refresh()),
        ];
        if let Some((what, theirs, ours)) =
            limits.into_iter().find(|(_, theirs, ours)| theirs > ours)
        {
            return Err(wrong(format!(
                "{what} ({theirs:?}) must be at most that of the refresher's own endpoint ({ours:?})"
            )));
        }
        Ok(Arc::new(made))
    }

    /// In a task of its own, as it is the application's code: it may hang or panic.
    async fn endpoint_of(
        &self,
        issuer: &str,
        limit: Duration,
    ) -> Result<Option<TokenEndpoint>, RefreshError> {
        let (resolver, issuer) = (self.resolver.clone(), issuer.to_owned());
        let asking = tokio::spawn(async move { resolver.endpoint(&issuer).await });
        let asking = AbortOnDropHandle::new(asking);
        match tokio::time::timeout(limit, asking).await {
            Ok(Ok(answer)) => answer.map_err(resolver_failed),
            Ok(Err(_panic)) => Err(internal()),
            Err(_elapsed) => Err(resolver_failed("it did not answer in time".into())),
        }
    }

    /// Names that lead nowhere take no room. Somebody else may still be asking.
    fn forget_unresolved(&self, issuer: &str, cell: &Arc<OnceCell<Arc<AtProvider>>>) {
        let only_here_and_in_the_cache = Arc::strong_count(cell) <= 2;
        if cell.get().is_none() && only_here_and_in_the_cache {
            self.known.invalidate(issuer);
        }
    }
}

fn resolver_failed(error: BoxError) -> RefreshError {
    unavailable("the endpoint resolver failed").with_cause(Some(Arc::from(error)))
}
