//! [`Keys`]: the provider's keys, fetched when they are needed, and what they verify.
//!
//! | when | what happens |
//! |---|---|
//! | first need | fetched; all that wait share one fetch |
//! | older than an hour | fetched again, behind the one who asks; the old ones go on until new ones have come |
//! | a token names a key that is not among them | fetched again, at most once in 30 s, whoever sends such tokens |
//! | a fetch failed | nothing is fetched for 5 s |
//! | a fetch takes long | nobody waits for more than 5 s; it goes on, for the next one |

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::Uri;
use tokio_util::task::TaskTracker;

use super::{
    discovery::DiscoveryError,
    error::EndpointError,
    exchange::NET,
    jwks::KeySet,
    provider::Provider,
    verify::{Expected, Jwt, JwtClaims, VerifyError},
    wire,
};
use crate::{
    clock::Clock,
    single_flight::{Joined, Start, SingleFlight},
};

/// The most that is read of a key set: a key with its chain of certificates takes a few KiB.
const MAX_KEY_SET: usize = 256 * 1024;
const MAX_AGE: Duration = Duration::from_secs(60 * 60);
/// Between two fetches because of keys we do not know. Anybody can make up a token that names one.
const UNKNOWN_EVERY: Duration = Duration::from_secs(30);
const AFTER_A_FAILURE: Duration = Duration::from_secs(5);
/// How long a token waits for keys, and with it a flight, a provider's call or a handler.
const WAIT: Duration = Duration::from_secs(5);

/// Verifies tokens by the provider's keys. Cheap to clone; clones share the keys.
#[derive(Clone)]
pub(crate) struct Keys(Arc<Inner>);

struct Inner {
    provider: Provider,
    clock: Clock,
    held: Mutex<Held>,
    fetches: SingleFlight<(), Fetched>,
}

type Fetched = Result<Arc<KeySet>, KeysError>;

/// All times are the clock's monotonic ones.
#[derive(Default)]
struct Held {
    keys: Option<(Arc<KeySet>, Duration)>,
    failed: Option<(KeysError, Duration)>,
    /// The last fetch because of an unknown key.
    unknown_at: Option<Duration>,
}

impl Held {
    /// The keys there are, however old, unless it is those that did not do.
    fn fit(&self, unfit: Option<&Arc<KeySet>>) -> Option<&(Arc<KeySet>, Duration)> {
        self.keys.as_ref().filter(|(keys, _)| unfit.is_none_or(|unfit| !Arc::ptr_eq(keys, unfit)))
    }
}

/// Why there are no keys. Cheap to clone.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum KeysError {
    /// Neither a setting nor the discovery document says where they are.
    #[error("it is not known where the provider's keys are")]
    NotTold,
    #[error("the provider could not be discovered")]
    Discovery(#[source] DiscoveryError),
    #[error("the provider's keys could not be fetched")]
    Fetch(#[source] EndpointError),
    #[error("what the provider serves as its keys is no key set (line {line}, column {column})")]
    NotAKeySet { line: usize, column: usize },
    #[error("the fetch of the provider's keys was broken off")]
    BrokenOff,
    #[error("the provider's keys did not come in time")]
    Late,
}

impl Keys {
    pub(crate) fn new(provider: Provider, clock: Clock) -> Self {
        let fetches = SingleFlight::new(NET, TaskTracker::new());
        Self(Arc::new(Inner { provider, clock, held: Mutex::default(), fetches }))
    }

    /// The claims of `token`, if it is the provider's own and says what is `expected`; see `verify` for the rules.
    ///
    /// Its claims are checked even where there are no keys to check its signature by.
    pub(crate) async fn verify(
        &self,
        token: &str,
        expected: &Expected<'_>,
    ) -> Result<JwtClaims, VerifyError> {
        let verified = tokio::time::timeout(WAIT, self.verify_at_leisure(token, expected)).await;
        verified.unwrap_or(Err(VerifyError::Keys(KeysError::Late)))
    }

    async fn verify_at_leisure(
        &self,
        token: &str,
        expected: &Expected<'_>,
    ) -> Result<JwtClaims, VerifyError> {
        let jwt = Jwt::parse(token)?;
        jwt.check_claims(expected, self.0.clock.now())?;
        let keys = self.keys(None).await.map_err(VerifyError::Keys)?;
        match jwt.check_signature(&keys) {
            Ok(()) => {}
            Err(VerifyError::UnknownKey) => self.verify_by_newer(&jwt, &keys).await?,
            Err(VerifyError::Signature) if jwt.names_no_key() => {
                self.verify_by_newer(&jwt, &keys).await?
            }
            Err(error) => return Err(error),
        }
        Ok(jwt.into_claims())
    }

    async fn verify_by_newer(&self, jwt: &Jwt<'_>, old: &Arc<KeySet>) -> Result<(), VerifyError> {
        jwt.check_signature(&*self.keys(Some(old)).await.map_err(VerifyError::Keys)?)
    }

    /// The keys; where some did not do, `unfit`, newer ones if they can be had now.
    async fn keys(&self, unfit: Option<&Arc<KeySet>>) -> Fetched {
        if let Some(known) = self.known(unfit) {
            return known;
        }
        let metadata = self.0.provider.metadata().await.map_err(KeysError::Discovery)?;
        let uri = metadata.jwks.as_ref().ok_or(KeysError::NotTold)?;
        let boarded = self.0.fetches.join_or_start(&(), || match self.known(unfit) {
            Some(known) => Start::No(known),
            None => Start::Flight(self.clone().fetch(uri.clone(), unfit.is_some())),
        });
        match boarded {
            Joined::Known(known) => known,
            Joined::Waiting { answer, .. } => {
                if let Some((old, _)) = self.held().fit(unfit) {
                    return Ok(old.clone());
                }
                answer.await.unwrap_or(Err(KeysError::BrokenOff))
            }
        }
    }

    /// What can be said without a fetch.
    fn known(&self, unfit: Option<&Arc<KeySet>>) -> Option<Fetched> {
        let now = self.0.clock.monotonic();
        let within = |since: Duration, limit| now.saturating_sub(since) < limit;
        let held = self.held();
        let failed = held.failed.as_ref().filter(|(_, at)| within(*at, AFTER_A_FAILURE));
        let unknown_lately = held.unknown_at.is_some_and(|at| within(at, UNKNOWN_EVERY));
        match (held.fit(unfit), failed, unfit) {
            (Some((keys, at)), failed, _) if failed.is_some() || within(*at, MAX_AGE) => {
                Some(Ok(keys.clone()))
            }
            (None, Some((error, _)), _) => Some(Err(error.clone())),
            (None, None, Some(unfit)) if unknown_lately => Some(Ok(unfit.clone())),
            _ => None,
        }
    }

    async fn fetch(self, uri: Uri, for_an_unknown_key: bool) -> Fetched {
        let fetched = self.ask(&uri).await.map(Arc::new);
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

    async fn ask(&self, uri: &Uri) -> Result<KeySet, KeysError> {
        let answer =
            self.0.provider.exchange.get(uri, MAX_KEY_SET).await.and_then(wire::document_answer);
        KeySet::parse(&answer.map_err(KeysError::Fetch)?)
            .map_err(|error| KeysError::NotAKeySet { line: error.line, column: error.column })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "tests/keys.rs"]
mod tests;
