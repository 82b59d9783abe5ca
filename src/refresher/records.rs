//! Token records as this process reads them: within `store_timeout`, opened where they are sealed,
//! and in this process's time. What is written is in [`writes`](super::writes).
//!
//! Each call asks the token store once. A store that panics has refused.

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::FutureExt;
use tracing::Instrument;

use super::{
    errors::{internal, misconfigured, record_failed, sealed_shut, store_failed, unavailable},
    store_clock::{Offset, StoreClock},
    writes::Write,
};
use crate::{
    clock::{Clock, Moment, Throttle},
    error::{Chain, RefreshError},
    metrics::Meter,
    token_store::{
        Ending, Loaded, NameKey, Nonce, RecordListener, RecordState, StoreError, TokenRecord,
        TokenStore,
        codec::{Codec, CodecError},
    },
    tokens::{GrantTokens, RecordKey, saturating_add},
};

pub(super) struct Records {
    pub(super) store: Arc<dyn TokenStore>,
    pub(super) codec: Codec,
    clock: Clock,
    /// How long one call may take.
    limit: Duration,
    /// None where there are several.
    issuer: Option<Arc<str>>,
    store_clock: StoreClock,
    meter: Arc<Meter>,
    warnings: Throttle,
}

/// What a read has shown.
pub(super) enum Read {
    Absent,
    Ended(Ending),
    Held(Box<Found>),
}

/// The tokens of a login, and the record that they lie in.
pub(super) struct Found {
    pub(super) key: RecordKey,
    pub(super) record: TokenRecord,
    pub(super) tokens: GrantTokens,
    read_at: Moment,
    answered_at: Moment,
    /// The store's clock at some moment between these two, or ours where it has none.
    now: SystemTime,
    pub(super) offset: Offset,
}

/// What became of a swap.
pub(super) enum Swap {
    Done,
    /// Another process was faster.
    Lost,
    /// The login has ended, maybe by this process.
    Over,
}

#[cfg(test)]
impl Found {
    /// What a read at this moment shows, of a store without a clock.
    pub(super) fn sample(record: TokenRecord, tokens: GrantTokens, read_at: Moment) -> Self {
        let key = RecordKey::from_bytes([0; 16]);
        let (now, offset) = (read_at.wall, Offset::None);
        Self { key, record, tokens, read_at, answered_at: read_at, now, offset }
    }
}

impl Found {
    /// What this read would have shown if `write` had been stored before.
    pub(super) fn with(self, write: &Write) -> Self {
        let (record, tokens) = (write.record.clone(), write.tokens.clone());
        Self { record, tokens, offset: write.offset, ..self }
    }

    /// When the read began.
    pub(super) fn read_at(&self) -> Moment {
        self.read_at
    }

    /// The store's time now, or less: a read that takes long must not make somebody else's mark look
    /// older than it is.
    pub(super) fn store_now_at_least(&self, clock: &Clock) -> SystemTime {
        saturating_add(self.now, clock.since(self.answered_at))
    }

    /// The store's time now, or more: nor must it make a mark of ours look older to others.
    pub(super) fn store_now_at_most(&self, clock: &Clock) -> SystemTime {
        saturating_add(self.now, clock.since(self.read_at))
    }

    /// The mark of a refresh under way: who set it, and when.
    pub(super) fn mark(&self) -> Option<(Nonce, SystemTime)> {
        match self.record.state() {
            RecordState::Presenting { since } => Some((self.record.version().nonce, since)),
            _ => None,
        }
    }
}

impl Records {
    pub(super) fn new(
        store: Arc<dyn TokenStore>,
        codec: Codec,
        clock: Clock,
        limit: Duration,
        issuer: Option<Arc<str>>,
        meter: Arc<Meter>,
    ) -> Self {
        let store_clock = StoreClock::new(clock.clone(), meter.clone());
        let warnings = Throttle::due(Duration::from_secs(10));
        Self { store, codec, clock, limit, issuer, store_clock, meter, warnings }
    }

    /// Whether the store alone keeps two processes from presenting one refresh token.
    pub(super) fn compares_and_swaps(&self) -> bool {
        self.store.compares_and_swaps()
    }

    async fn load(&self, key: RecordKey) -> Result<Loaded, RefreshError> {
        self.ask("load", async { self.store.load(key).await }).await
    }

    pub(super) async fn read(&self, key: RecordKey) -> Result<Read, RefreshError> {
        let read_at = self.clock.moment();
        let loaded = self.load(key).await?;
        let answered_at = self.clock.moment();
        let offset = self.store_clock.observe(read_at, loaded.now);
        let now = loaded.now.unwrap_or(answered_at.wall);
        let Some(record) = loaded.record else { return Ok(Read::Absent) };
        if let Some(ending) = record.ending() {
            return Ok(Read::Ended(ending));
        }
        let tokens = self.open_by(key, &record, offset)?;
        Ok(Read::Held(Box::new(Found { key, record, tokens, read_at, answered_at, now, offset })))
    }

    /// What became of the swap to the mark of `nonce`: its answer may have got lost.
    pub(super) async fn swapped(&self, key: RecordKey, nonce: Nonce) -> Result<Swap, RefreshError> {
        let loaded = self.load(key).await?;
        Ok(match loaded.record {
            None => Swap::Over,
            Some(record) => match record.state() {
                RecordState::Ended(_) => Swap::Over,
                RecordState::Presenting { .. } if record.version().nonce == nonce => Swap::Done,
                RecordState::Presenting { .. } | RecordState::Live => Swap::Lost,
            },
        })
    }

    /// The records of the logins that a provider may mean by `name`.
    pub(super) async fn find(&self, name: NameKey) -> Result<Vec<RecordKey>, RefreshError> {
        self.ask("find", async { self.store.find(name).await }).await
    }

    /// Whether the logout token of `key` was carried out, by any process.
    pub(super) async fn was_used(&self, key: RecordKey) -> Result<bool, RefreshError> {
        Ok(self.load(key).await?.record.is_some())
    }

    /// Asks for the store's time, where the last answer is long ago: for a record that is written
    /// without a read before.
    pub(super) async fn learn_time(&self, key: RecordKey) -> Result<(), RefreshError> {
        if self.compares_and_swaps() && !self.store_clock.is_known() {
            self.read(key).await?;
        }
        Ok(())
    }

    /// How much the store's clock differs, as last seen.
    pub(super) fn offset(&self) -> Offset {
        self.store_clock.offset()
    }

    /// The tokens of a record.
    pub(super) fn open(
        &self,
        key: RecordKey,
        record: &TokenRecord,
    ) -> Result<GrantTokens, RefreshError> {
        self.open_by(key, record, self.offset())
    }

    fn open_by(
        &self,
        key: RecordKey,
        record: &TokenRecord,
        offset: Offset,
    ) -> Result<GrantTokens, RefreshError> {
        let tokens = match self.codec.open(key, record) {
            Ok(tokens) => tokens,
            Err(CodecError::Record(error)) => return Err(record_failed(&error)),
            Err(CodecError::Sealed(error)) => {
                self.codec.report(error);
                return Err(sealed_shut());
            }
        };
        self.check_issuer(&tokens.issuer)?;
        Ok(offset.tokens_from_store(tokens))
    }

    fn check_issuer(&self, issuer: &str) -> Result<(), RefreshError> {
        let only = self.issuer.as_deref();
        let Some(only) = only.filter(|only| *only != issuer) else { return Ok(()) };
        Err(misconfigured(format!(
            "the login is at {issuer:?}, and this refresher is for {only:?}: give each of them a \
             `session_key` of its own, and a handle to the refresher that it came from"
        )))
    }

    /// Fails if the login is of another refresher's provider. A store that does not answer says
    /// nothing about that.
    pub(super) async fn check_is_ours(&self, key: RecordKey) -> Result<(), RefreshError> {
        if self.issuer.is_none() {
            return Ok(());
        }
        let record = self.load(key).await.ok().and_then(|loaded| loaded.record);
        let record = record.filter(|record| record.ending().is_none());
        record.map_or(Ok(()), |record| self.check_issuer(record.issuer()))
    }

    /// Tells `listener` what other processes do. Returns if the store cannot tell; fails when it no
    /// longer can.
    pub(super) async fn listen(&self, listener: &dyn RecordListener) -> Result<(), RefreshError> {
        let listening = AssertUnwindSafe(async { self.store.listen(listener).await });
        match listening.catch_unwind().await {
            Ok(ended) => ended.map_err(store_failed),
            Err(_panic) => Err(internal()),
        }
    }

    /// `call` must not ask the store before it is polled: a store may panic at once.
    pub(super) async fn ask<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, RefreshError> {
        let span = tracing::debug_span!("token_refresh.store", operation);
        let call = AssertUnwindSafe(call).catch_unwind().instrument(span);
        let answer = match tokio::time::timeout(self.limit, call).await {
            Ok(Ok(answer)) => answer.map_err(store_failed),
            Ok(Err(_panic)) => Err(internal()),
            Err(_elapsed) => Err(unavailable("the token store did not answer in time")),
        };
        answer.inspect_err(|error| {
            self.meter.store_failed("token");
            if self.warnings.is_due(self.clock.monotonic()) {
                let error = Chain(error);
                tracing::warn!(%error, "the token store failed (logged every ten seconds at most)");
            }
        })
    }
}
