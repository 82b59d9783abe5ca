//! [`Slots`]: access tokens that come without a refresh token, each asked for anew near its end.
//!
//! Each slot holds one token, and one flight at a time fills it:
//!
//! | the token in the slot | a call |
//! |---|---|
//! | fresh | gets it |
//! | due soon | gets it; a flight starts in the background |
//! | expired or about to, none, or refused by an API | waits for a flight |
//!
//! While a flight fails, a token that has not expired yet is served. An error goes to all who waited
//! for it, and the next call tries again, unless the provider would say the same:
//! [`failures`](self::failures) has that rule.

mod failures;

use std::{
    fmt,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::{ArcSwap, Guard};
use async_trait::async_trait;
use futures_util::{FutureExt, future::BoxFuture};
use moka::{policy::EvictionPolicy, sync::Cache};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use self::failures::Failures;
pub(super) use self::failures::NotObtained;
use crate::{
    clock::{Clock, Moment},
    endpoint::{TokenTarget, is_held_back},
    error::{Chain, RefreshError, RefreshErrorKind},
    metrics,
    policy::RefreshPolicy,
    refresher::errors::{SOON, internal, unavailable, wait_timeout},
    single_flight::{Joined, SingleFlight, Start},
    tokens::{AccessToken, CachedToken, Generation, RecordKey, Standing, TokenSet},
};

/// An answer made for somebody else may be too old for this caller, and the next one as well.
const MOST_ANSWERS: usize = 3;

/// Brings a token.
#[async_trait]
pub(super) trait Obtain: Send + Sync + 'static {
    /// `failed_before`: so did the flight before this one.
    async fn obtain(&self, failed_before: bool) -> Result<TokenSet, NotObtained>;

    /// What it is for, for the log.
    fn target(&self) -> &TokenTarget;

    /// Where it comes from, for the log: the provider's issuer, or what stands for it.
    fn provider(&self) -> String;
}

pub(super) struct Slots {
    by_key: Cache<RecordKey, Arc<Slot>>,
    flights: SingleFlight<RecordKey, Obtained>,
    policy: RefreshPolicy,
    flight_timeout: Duration,
    clock: Clock,
}

type Obtained = Result<Arc<CachedToken>, RefreshError>;

/// The place of one token.
pub(super) struct Slot {
    /// Names the tokens of this slot, and its flight. It is random, so that no other source's token
    /// looks like one of them, and not all processes fetch at the same moment.
    token_key: RecordKey,
    /// One that expired long ago, where there is none.
    token: ArcSwap<CachedToken>,
    failures: Failures,
}

impl Slots {
    /// The `most` slots that were looked up last are kept, each until it has not been looked up for
    /// `idle`. Of `policy` counts what is about access tokens and about waiting for them.
    pub(super) fn new(
        most: u64,
        idle: Option<Duration>,
        policy: RefreshPolicy,
        flight_timeout: Duration,
        clock: Clock,
    ) -> Arc<Self> {
        metrics::begin_service_tokens();
        // By default moka keeps what is asked for often, and would drop a new key at once.
        let by_key = Cache::builder().max_capacity(most).eviction_policy(EvictionPolicy::lru());
        let by_key = match idle {
            Some(idle) => by_key.time_to_idle(idle),
            None => by_key,
        };
        Arc::new(Self {
            by_key: by_key.build(),
            // Longer than any flight.
            flights: SingleFlight::new(flight_timeout.saturating_mul(2), TaskTracker::new()),
            policy,
            flight_timeout,
            clock,
        })
    }

    /// The slot of `key`. Whoever keeps it may use it although it has been forgotten here.
    pub(super) fn slot(&self, key: RecordKey) -> Arc<Slot> {
        self.by_key.get_with(key, || {
            let token_key = RecordKey::from_bytes(Uuid::new_v4().into_bytes());
            let token = ArcSwap::from_pointee(CachedToken::none());
            Arc::new(Slot { token_key, token, failures: Failures::new(self.clock.clone()) })
        })
    }

    /// Drops the token of `key`. Whoever waits for another one gets `error`.
    pub(super) fn forget(&self, key: RecordKey, error: &RefreshError) {
        if let Some(slot) = self.by_key.remove(&key) {
            slot.token.store(CachedToken::none().into());
            self.flights.settle(|flying| *flying == slot.token_key, &Err(error.clone()));
        }
    }

    /// A token that is fresh now. Nobody waits beyond `until`; None: as long as the policy says.
    pub(super) async fn token(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        until: Option<Instant>,
        obtain: impl Fn() -> Arc<dyn Obtain> + Send,
    ) -> Result<AccessToken, RefreshError> {
        // The one look at the clock: whoever looks twice may decide by two times.
        let now = self.clock.now();
        // Lent and not counted, while the thread holds few: a counter would be written to by all
        // threads at once.
        let token = slot.token.load();
        let (leeway, ahead) = (self.policy.leeway, self.policy.refresh_ahead);
        if token.lifetime().is_long_fresh_at(now, leeway, ahead) {
            // Nearly every call ends here. What follows is boxed and a function of its own, so that
            // this much is compiled into the caller: to hand the result from function to function
            // costs more than to find it.
            return Ok(AccessToken::new(token, None));
        }
        self.look_closer(slot, token, now, until, obtain).await
    }

    /// For a slot without a token, or with one that is near its end. `obtain` is called if another
    /// one is due.
    #[inline(never)]
    fn look_closer<'a>(
        self: &'a Arc<Self>,
        slot: &'a Arc<Slot>,
        token: Guard<Arc<CachedToken>>,
        now: SystemTime,
        until: Option<Instant>,
        obtain: impl Fn() -> Arc<dyn Obtain> + Send + 'a,
    ) -> BoxFuture<'a, Result<AccessToken, RefreshError>> {
        Box::pin(async move {
            let standing = self.standing(&token, now);
            if standing == Standing::DueSoon {
                self.start_early(slot, &token, &obtain);
            }
            if standing != Standing::Expired {
                return Ok(AccessToken::new(token, None));
            }
            // A thread has few places for what is lent.
            drop(token);
            self.slow(slot, until, obtain()).await
        })
    }

    /// For whoever got none at once.
    async fn slow(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        until: Option<Instant>,
        obtain: Arc<dyn Obtain>,
    ) -> Result<AccessToken, RefreshError> {
        let before = slot.token.load_full();
        self.wait(slot, Generation::NONE, until, &obtain).await.or_else(|error| {
            // Within the leeway a good token is better than none.
            let is_good = self.clock.now() < before.expires_at;
            if is_good { Ok(AccessToken::new(before, None)) } else { Err(error) }
        })
    }

    /// A token that is newer than `rejected`.
    pub(super) async fn newer_than(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        rejected: &CachedToken,
        until: Option<Instant>,
        obtain: Arc<dyn Obtain>,
    ) -> Result<AccessToken, RefreshError> {
        // Another source's says nothing about ours.
        let is_ours = rejected.key == slot.token_key;
        let than = if is_ours { rejected.generation } else { Generation::NONE };
        self.wait(slot, than, until, &obtain).await
    }

    async fn wait(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        than: Generation,
        until: Option<Instant>,
        obtain: &Arc<dyn Obtain>,
    ) -> Result<AccessToken, RefreshError> {
        let until = until.unwrap_or_else(|| sleep(self.policy.wait_timeout).deadline());
        let answered = timeout_at(until, async {
            for _ in 0..MOST_ANSWERS {
                let token = self.answer(slot, than, obtain).await?;
                if self.is_good(&token, than) {
                    return Ok(AccessToken::new(token, None));
                }
            }
            Err(unavailable("the provider's new tokens were about to expire each time"))
        });
        answered.await.unwrap_or_else(|_elapsed| Err(wait_timeout(SOON)))
    }

    async fn answer(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        than: Generation,
        obtain: &Arc<dyn Obtain>,
    ) -> Obtained {
        let filled = || Some(slot.token.load_full()).filter(|token| self.is_good(token, than));
        if let Some(token) = filled() {
            // A flight may be under way for somebody whose rejected token is newer: this caller
            // needs no such one.
            return Ok(token);
        }
        let joined = self.flights.join_or_start(&slot.token_key, || {
            // A flight may have ended since this caller looked.
            match filled().map(Ok).or_else(|| slot.failures.kept().map(Err)) {
                Some(known) => Start::No(known),
                None => Start::Flight(self.clone().fly(slot.clone(), obtain.clone())),
            }
        });
        match joined {
            Joined::Known(known) => known,
            Joined::Waiting { answer, .. } => answer.await.unwrap_or_else(|_lost| Err(internal())),
        }
    }

    fn start_early(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        due: &CachedToken,
        obtain: impl FnOnce() -> Arc<dyn Obtain>,
    ) {
        let _not_waited_for = self.flights.join_or_start(&slot.token_key, || {
            let token = slot.token.load_full();
            if token.generation > due.generation || slot.failures.is_paused() {
                return Start::No(Ok(token));
            }
            Start::Flight(self.clone().fly(slot.clone(), obtain()))
        });
    }

    async fn fly(self: Arc<Self>, slot: Arc<Slot>, obtain: Arc<dyn Obtain>) -> Obtained {
        let asked_at = self.clock.moment();
        let limit = self.flight_timeout;
        let failed_before = slot.failures.any();
        // Caught here, so that a source that panics is paused like one that fails.
        let obtaining = AssertUnwindSafe(obtain.obtain(failed_before)).catch_unwind();
        let obtained = match timeout(limit, obtaining).await {
            Ok(Ok(obtained)) => obtained.and_then(|set| self.next_token(&slot, set, asked_at)),
            Ok(Err(_panic)) => Err(internal().into()),
            Err(_elapsed) => Err(unavailable("the new token took too long to come").into()),
        };
        match obtained {
            Ok(token) => {
                slot.failures.forget();
                slot.token.store(token.clone());
                metrics::service_token("obtained");
                Ok(token)
            }
            Err(failed) => {
                metrics::service_token(failed.error.kind().name());
                log(&failed.error, &*obtain);
                Err(slot.failures.add(failed))
            }
        }
    }

    fn next_token(
        &self,
        slot: &Slot,
        set: TokenSet,
        asked_at: Moment,
    ) -> Result<Arc<CachedToken>, NotObtained> {
        let generation = slot.token.load().generation.next();
        let fallback = self.policy.fallback_lifetime;
        let token = CachedToken::obtained(slot.token_key, generation, set, asked_at, fallback);
        if token.expires_at > self.clock.now() {
            Ok(Arc::new(token))
        } else {
            Err(NotObtained::expired_at_birth())
        }
    }

    fn is_good(&self, token: &CachedToken, than: Generation) -> bool {
        token.generation > than && self.standing(token, self.clock.now()) != Standing::Expired
    }

    fn standing(&self, token: &CachedToken, now: SystemTime) -> Standing {
        token.standing_at(now, self.policy.leeway, self.policy.refresh_ahead)
    }
}

fn log(error: &RefreshError, obtain: &dyn Obtain) {
    let (chain, target, provider) = (Chain(error), obtain.target(), obtain.provider());
    match error.kind() {
        // The log has said why, or the user has logged out.
        kind if kind == RefreshErrorKind::LoggedOut || error.is_logged() || is_held_back(error) => {
            tracing::debug!(provider, ?target, error = %chain, "no token for calls that go out");
        }
        RefreshErrorKind::Misconfigured | RefreshErrorKind::InvalidResponse => {
            tracing::error!(provider, ?target, error = %chain, "no token for calls that go out");
        }
        _ => tracing::warn!(provider, ?target, error = %chain, "no token for calls that go out"),
    }
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots")
            .field("slots", &self.by_key.entry_count())
            .field("flights", &self.flights)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
