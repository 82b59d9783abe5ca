//! What a refresher consists of: its collaborators, and the small questions that all of them ask.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::{Duration, SystemTime},
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    audit::Audit, ended_here::EndedHere, ending::Endings, errors, flight_log::FlightLog,
    listening::Listening, one_process::OneProcess, presentation::Presentations,
    providers::Providers, records::Records, refresh_lock::RefreshLock, revoker::Revoker,
    unsaved::Unsaved, watchers::Watchers, writes::Writes,
};
use crate::{
    back_channel::{BackChannel, Tick},
    clock::Clock,
    error::RefreshError,
    metrics::Meter,
    policy::RefreshPolicy,
    session::{GuardedStore, Pointer},
    single_flight::SingleFlight,
    token_cache::TokenCache,
    tokens::{AccessToken, CachedToken, GrantTokens, RecordKey, Standing, VerifyToken},
};

/// What a flight gives to everybody who waited for it.
pub(super) type FlightResult = Result<Arc<CachedToken>, RefreshError>;

/// What one flight is for: two devices of one user hold two logins and never share one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct FlightKey {
    /// As told at log in.
    pub(super) user: Option<Arc<str>>,
    pub(super) key: RecordKey,
}

/// The collaborators, and nothing else.
pub(super) struct Core {
    pub(super) providers: Arc<Providers>,
    /// None where claims need no verification.
    pub(super) claims_verifier: Option<Arc<dyn VerifyToken>>,
    /// None where the provider does not tell who has logged out.
    pub(super) back_channel: Option<BackChannel>,
    pub(super) sessions: GuardedStore,
    pub(super) pointer: Pointer,
    pub(super) records: Arc<Records>,
    pub(super) writes: Arc<Writes>,
    pub(super) one_process: OneProcess,
    pub(super) unsaved: Unsaved,
    pub(super) cache: Arc<TokenCache>,
    pub(super) ended_here: Arc<EndedHere>,
    pub(super) endings: Arc<Endings>,
    pub(super) listening: Listening,
    pub(super) refresh_lock: RefreshLock,
    pub(super) presentations: Presentations,
    pub(super) revoker: Revoker,
    pub(super) watchers: Arc<Watchers>,
    pub(super) flights: Arc<SingleFlight<FlightKey, FlightResult>>,
    pub(super) flight_log: Arc<FlightLog>,
    pub(super) meter: Arc<Meter>,
    pub(super) audit: Audit,
    /// Reads of token records.
    pub(super) reads: SingleFlight<RecordKey, FlightResult>,
    pub(super) policy: RefreshPolicy,
    /// How long somebody else's mark holds everybody off.
    pub(super) mark_deadline: Duration,
    pub(super) warned_of_short_life: AtomicBool,
    /// Whether the log has said that the access tokens have no claims.
    #[cfg(feature = "axum")]
    pub(super) reported_opaque: AtomicBool,
    pub(super) clock: Clock,
    /// Everything that runs on without its caller.
    pub(super) tasks: TaskTracker,
    pub(super) closing: CancellationToken,
}

impl Core {
    pub(super) fn standing(&self, token: &CachedToken, now: SystemTime) -> Standing {
        token.standing_at(now, self.policy.leeway, self.policy.refresh_ahead)
    }

    pub(super) fn is_good(&self, token: &CachedToken) -> bool {
        token.lifetime().is_good_at(self.clock.now(), self.policy.leeway)
    }

    pub(super) fn access_token(&self, token: Arc<CachedToken>) -> AccessToken {
        AccessToken::new(token, self.claims_verifier.clone())
    }

    /// When a login begins, if the provider may tell of logouts.
    pub(super) fn now_for_logouts(&self) -> Option<Tick> {
        self.back_channel.as_ref().map(|channel| channel.named.now())
    }

    /// Warns once if tokens live too short for a refresh ahead of time to hide a crash.
    pub(super) fn warn_of_short_life(&self, tokens: &GrantTokens) {
        let life = tokens.lifetime().whole();
        let ahead = self.policy.refresh_ahead.min(life / 2);
        if ahead < self.mark_deadline && !self.warned_of_short_life.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                seconds = life.as_secs(),
                deadline = self.mark_deadline.as_secs(),
                "access tokens are so short-lived that, if a process dies during a refresh, its user \
                 gets 503 until the refresh's deadline has passed (logged once)"
            );
        }
    }

    /// Waits for the session store, but not for ever.
    pub(super) async fn in_time<T>(
        &self,
        call: impl Future<Output = T>,
    ) -> Result<T, RefreshError> {
        let mut call = pin!(call);
        // A session that is in memory answers at once, and then nobody needs a timer.
        if let Poll::Ready(answer) = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await {
            return Ok(answer);
        }
        let answer = tokio::time::timeout(self.policy.store_timeout, call).await;
        answer.map_err(|_elapsed| errors::unavailable("the session store did not answer in time"))
    }

    /// Spawned, so that a caller that goes away stops nothing half way.
    pub(super) async fn run_to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, RefreshError>> + Send + 'static,
    ) -> Result<T, RefreshError> {
        self.tasks.spawn(work).await.unwrap_or_else(|_| Err(errors::internal()))
    }
}
