//! [`Keys`]: fetches the provider's keys when they are needed, and verifies tokens with them.
//!
//! | when | what happens |
//! |---|---|
//! | the keys are needed for the first time | all callers share one fetch |
//! | the keys are an hour old | a background fetch; the old keys serve until it succeeds |
//! | a token names an unknown key, or none and no key fits | a fetch, at most once in 30 s for all tokens |
//! | a token is wrong by the key that it names | no fetch |
//! | a fetch has failed | no fetch for 5 s |
//! | a fetch is slow | callers wait for at most 5 s; the fetch goes on for the next caller |

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::Uri;
use tokio_util::task::TaskTracker;

use super::{
    jwks::KeySet,
    verify::{Expected, Jwt, JwtClaims, VerifyError},
};
use crate::{
    clock::Clock,
    endpoint::{
        discovery::DiscoveryError, error::EndpointError, exchange::FETCH_NET, provider::Provider,
    },
    single_flight::{Joined, SingleFlight, Start},
};

/// The most bytes to read of a key set. A key with its certificate chain takes a few KiB.
const MAX_KEY_SET: usize = 256 * 1024;
const MAX_AGE: Duration = Duration::from_secs(60 * 60);
/// The time between two fetches for unknown keys. Anybody can make up a token that names one.
const UNKNOWN_EVERY: Duration = Duration::from_secs(30);
const AFTER_A_FAILURE: Duration = Duration::from_secs(5);
/// How long a token waits for keys, and with it a refresh, a provider's call or a handler.
const WAIT: Duration = Duration::from_secs(5);

/// Verifies tokens with the provider's keys. Cheap to clone; clones share the keys.
#[derive(Clone)]
pub(crate) struct Keys(Arc<Inner>);

struct Inner {
    provider: Provider,
    clock: Clock,
    held: Mutex<Held>,
    fetches: SingleFlight<(), Fetched>,
}

type Fetched = Result<Arc<KeySet>, KeysError>;

/// All times are monotonic times of the clock.
#[derive(Default)]
struct Held {
    keys: Option<(Arc<KeySet>, Duration)>,
    failed: Option<(KeysError, Duration)>,
    /// When an unknown key last caused a fetch.
    unknown_at: Option<Duration>,
}

impl Held {
    /// The keys of any age, unless they are the `unfit` ones.
    fn fit(&self, unfit: Option<&Arc<KeySet>>) -> Option<&(Arc<KeySet>, Duration)> {
        self.keys.as_ref().filter(|(keys, _)| unfit.is_none_or(|unfit| !Arc::ptr_eq(keys, unfit)))
    }
}

/// Why there are no keys to verify with. Cheap to clone.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum KeysError {
    /// Neither a setting nor the discovery document names the URL of the keys.
    #[error("no URL of the provider's keys is known: set `jwks_url`, or use discovery")]
    NoUrl,
    #[error("discovery failed, so the URL of the provider's keys is not known")]
    Discovery(#[source] DiscoveryError),
    #[error("could not fetch the provider's keys")]
    Fetch(#[source] EndpointError),
    #[error("the provider does not serve a key set (error at line {line}, column {column})")]
    NotAKeySet { line: usize, column: usize },
    #[error("the task that fetched the provider's keys was interrupted")]
    Interrupted,
    #[error("the provider's keys did not arrive in time")]
    Timeout,
}

impl Keys {
    pub(crate) fn new(provider: Provider, clock: Clock) -> Self {
        let fetches = SingleFlight::new(FETCH_NET, TaskTracker::new());
        Self(Arc::new(Inner { provider, clock, held: Mutex::default(), fetches }))
    }

    /// The claims of `token`, if the provider signed it and it holds what is `expected`. The module
    /// `verify` has the rules.
    ///
    /// It checks the claims first, even if there are no keys to check the signature with.
    pub(crate) async fn verify(
        &self,
        token: &str,
        expected: &Expected<'_>,
    ) -> Result<JwtClaims, VerifyError> {
        let verified = tokio::time::timeout(WAIT, self.verify_without_limit(token, expected)).await;
        verified.unwrap_or(Err(VerifyError::Keys(KeysError::Timeout)))
    }

    async fn verify_without_limit(
        &self,
        token: &str,
        expected: &Expected<'_>,
    ) -> Result<JwtClaims, VerifyError> {
        let jwt = Jwt::parse(token)?;
        jwt.check_claims(expected, self.0.clock.now())?;
        let keys = self.keys(None).await.map_err(VerifyError::Keys)?;
        match jwt.check_signature(&keys) {
            Ok(()) => {}
            Err(VerifyError::Signature) if !jwt.names_no_key() => {
                return Err(VerifyError::Signature);
            }
            Err(error @ (VerifyError::UnknownKey | VerifyError::Signature)) => {
                self.verify_with_newer(&jwt, &keys, error).await?;
            }
            Err(error) => return Err(error),
        }
        Ok(jwt.into_claims())
    }

    async fn verify_with_newer(
        &self,
        jwt: &Jwt<'_>,
        old: &Arc<KeySet>,
        error: VerifyError,
    ) -> Result<(), VerifyError> {
        let newer = self.keys(Some(old)).await.map_err(VerifyError::Keys)?;
        // No fetch is allowed now. The same keys would cost as much again and say the same.
        if Arc::ptr_eq(&newer, old) {
            return Err(error);
        }
        jwt.check_signature(&newer)
    }

    /// The keys. If the caller's keys were `unfit`, newer keys where a fetch is allowed now.
    async fn keys(&self, unfit: Option<&Arc<KeySet>>) -> Fetched {
        if let Some(known) = self.known(unfit) {
            return known;
        }
        let url = self.0.provider.jwks_url().await.map_err(KeysError::Discovery)?;
        let url = url.ok_or(KeysError::NoUrl)?;
        let boarded = self.0.fetches.join_or_start(&(), || match self.known(unfit) {
            Some(known) => Start::No(known),
            None => Start::Flight(self.clone().fetch(url, unfit.is_some())),
        });
        match boarded {
            Joined::Known(known) => known,
            Joined::Waiting { answer, .. } => {
                if let Some((old, _)) = self.held().fit(unfit) {
                    return Ok(old.clone());
                }
                answer.await.unwrap_or(Err(KeysError::Interrupted))
            }
        }
    }

    /// The answer, if it needs no fetch.
    fn known(&self, unfit: Option<&Arc<KeySet>>) -> Option<Fetched> {
        let now = self.0.clock.monotonic();
        let within = |since: Duration, limit| now.saturating_sub(since) < limit;
        let held = self.held();
        let failed = held.failed.as_ref().filter(|(_, at)| within(*at, AFTER_A_FAILURE));
        let unknown_recently = held.unknown_at.is_some_and(|at| within(at, UNKNOWN_EVERY));
        match (held.fit(unfit), failed, unfit) {
            (Some((keys, at)), failed, _) if failed.is_some() || within(*at, MAX_AGE) => {
                Some(Ok(keys.clone()))
            }
            (None, Some((error, _)), _) => Some(Err(error.clone())),
            (None, None, Some(unfit)) if unknown_recently => Some(Ok(unfit.clone())),
            _ => None,
        }
    }

    async fn fetch(self, url: Uri, for_an_unknown_key: bool) -> Fetched {
        let fetched = self.fetch_once(&url).await.map(Arc::new);
        let now = self.0.clock.monotonic();
        let mut held = self.held();
        match &fetched {
            Ok(keys) => {
                held.keys = Some((keys.clone(), now));
                held.failed = None;
                if for_an_unknown_key {
                    held.unknown_at = Some(now);
                }
            }
            Err(error) => held.failed = Some((error.clone(), now)),
        }
        fetched
    }

    async fn fetch_once(&self, url: &Uri) -> Result<KeySet, KeysError> {
        let body = self.0.provider.fetch(url, MAX_KEY_SET).await.map_err(KeysError::Fetch)?;
        KeySet::parse(&body)
            .map_err(|error| KeysError::NotAKeySet { line: error.line, column: error.column })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
