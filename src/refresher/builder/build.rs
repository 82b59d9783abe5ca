//! From the settings to the collaborators.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    super::{
        Core, TokenRefresher,
        audit::Audit,
        claims_verifier::{ClaimsTrustCheck, claims_verifier},
        ended_here::EndedHere,
        ending::Endings,
        flight_log::FlightLog,
        listening::Listening,
        one_process::OneProcess,
        presentation::Presentations,
        providers::{Make, Providers},
        records::Records,
        refresh_lock::RefreshLock,
        revoker::Revoker,
        unsaved::{Runs, Unsaved},
        watchers::Watchers,
        writes::Writes,
    },
    TokenRefresherBuilder,
};
use crate::{
    back_channel::BackChannel,
    error::ConfigError,
    metrics::{self, Meter},
    session::{GuardedStore, Pointer},
    single_flight::SingleFlight,
    token_cache::TokenCache,
    token_store::{codec::Codec, is_token_record},
};

impl TokenRefresherBuilder {
    /// Checks the settings and makes the refresher. It sends nothing.
    ///
    /// # Errors
    /// A URL, a time or a name that cannot work; the error names the value and the rule.
    pub fn build(self) -> Result<TokenRefresher, ConfigError> {
        let clock = self.clock;
        self.policy.validate()?;
        if self.session_key.is_empty() {
            return Err(ConfigError::Range {
                what: "session_key",
                value: "\"\"".into(),
                rule: "it must not be empty",
            });
        }
        if self.lock.is_some() && !self.tokens.compares_and_swaps() {
            tracing::warn!(
                "a lock over a token store that does not compare and swap does not make several \
                 processes safe: a lease that is lost means two refreshes with one refresh token, and \
                 a logout beside a refresh elsewhere may leave its tokens unrevoked"
            );
        }
        let make = Make {
            policy: self.policy.clone(),
            trust: ClaimsTrustCheck::of(&self.claims_trust),
            back_channel: self.back_channel.is_some(),
            clock: clock.clone(),
        };
        let providers = Arc::new(Providers::new(&self.endpoint, self.resolver, make)?);
        let own = providers.own();
        let provider = &own.provider;
        metrics::describe();
        let meter = Arc::new(Meter::new(provider.meter().owner().clone()));
        let audit = Audit::new(self.audit_key.as_deref(), provider.issuer_id(), meter.clone())?;
        let claims_verifier = claims_verifier(self.claims_trust, &providers);
        let back_channel = self.back_channel.map(|key| {
            // It calls the stores five times. The login routes exchange and verify before that.
            let before = provider.longest_refresh() + Duration::from_secs(60);
            BackChannel::new(&key, &clock, before + self.policy.store_timeout.saturating_mul(6))
        });
        let back_channel = back_channel.transpose()?;

        let mark_deadline = self.policy.mark_deadline(provider.request_timeout());
        let longest = self.policy.longest_flight(provider.longest_refresh(), mark_deadline);
        let (tasks, closing) = (TaskTracker::new(), CancellationToken::new());
        let flights = Arc::new(SingleFlight::new(longest, tasks.clone()));
        let cache = Arc::new(TokenCache::new(clock.clone(), self.cache_bytes));
        let watchers = Arc::new(Watchers::default());
        let ended_here = Arc::new(EndedHere::new(
            clock.clone(),
            longest.max(self.policy.confirm_after * 2),
            watchers.clone(),
        ));
        let records = Arc::new(Records::new(
            self.tokens,
            Codec::new(self.seal_with),
            clock.clone(),
            self.policy.store_timeout,
            (!providers.are_several()).then(|| provider.issuer_id().into()),
            meter.clone(),
        ));
        let writes = Arc::new(Writes::new(
            records.clone(),
            back_channel.as_ref().map(|channel| channel.names.clone()),
            clock.clone(),
            self.policy.last_writes_stay(),
            meter.clone(),
        ));
        let revoker = Revoker::new(providers.clone(), meter.clone(), self.revoke_on_log_out);
        let unsaved = Unsaved::new(
            records.clone(),
            writes.clone(),
            ended_here.clone(),
            revoker.clone(),
            audit.clone(),
            Runs {
                clock: clock.clone(),
                meter: meter.clone(),
                tasks: tasks.clone(),
                closing: closing.clone(),
            },
        );
        let endings = Arc::new(Endings {
            here: ended_here.clone(),
            cache: cache.clone(),
            records: records.clone(),
            writes: writes.clone(),
            unsaved: unsaved.clone(),
            flights: flights.clone(),
            revoker: revoker.clone(),
            tasks: tasks.clone(),
            clock: clock.clone(),
            audit: audit.clone(),
        });
        let pointer = Pointer::new(self.session_key);
        Ok(TokenRefresher(Arc::new(Core {
            sessions: GuardedStore::new(
                self.sessions,
                self.bare,
                pointer.clone(),
                Box::new(ended_here.clone()),
                is_token_record,
            ),
            presentations: Presentations::new(clock.clone(), mark_deadline, meter.clone()),
            reads: SingleFlight::new(longest, tasks.clone()),
            policy: self.policy,
            providers,
            claims_verifier,
            back_channel,
            pointer,
            records,
            writes,
            one_process: OneProcess::default(),
            unsaved,
            cache,
            ended_here,
            endings,
            listening: Listening::new(&closing),
            refresh_lock: RefreshLock::new(self.lock, self.lock_if, mark_deadline, clock.clone()),
            revoker,
            watchers,
            flights,
            flight_log: Arc::new(FlightLog::new(clock.clone(), meter.clone(), audit.clone())),
            meter,
            audit,
            mark_deadline,
            warned_of_short_life: AtomicBool::new(false),
            #[cfg(feature = "axum")]
            reported_opaque: AtomicBool::new(false),
            clock,
            tasks,
            closing,
        })))
    }
}
