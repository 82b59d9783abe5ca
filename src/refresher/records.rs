//! Token records as this process reads and writes them: within a time, sealed where there are keys,
//! and by one clock.
//!
//! Each call asks the token store once. A store that panics has refused. What is done about a
//! refusal is decided in [`unsaved`](super::unsaved).

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use futures_util::FutureExt;

use super::{
    errors::{internal, misconfigured, record_failed, sealed_shut, store_failed, unavailable},
    last_writes::LastWrites,
};
use crate::{
    back_channel::Names,
    clock::{Clock, Moment, Throttle},
    error::{Chain, RefreshError},
    metrics,
    token_store::{
        Ended, Ending, EndingReason, NameKey, Nonce, Put, RecordListener, RecordState,
        RecordVersion, StoreError, Swapped, TokenRecord, TokenStore,
        codec::{Codec, CodecError},
    },
    tokens::{GrantTokens, RecordKey, saturating_add},
};

/// A record outlives what it is for by this.
const MARGIN: Duration = Duration::from_secs(60 * 60);
/// How long a record is kept whose refresh token tells no end.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Clocks of this process and of the store may differ by this much before anybody is told.
const SKEW: Duration = Duration::from_secs(5);

pub(super) struct Records {
    store: Arc<dyn TokenStore>,
    codec: Codec,
    names: Option<Arc<Names>>,
    last_writes: LastWrites,
    clock: Clock,
    /// How long one call may take.
    limit: Duration,
    issuer: Arc<str>,
    warned_of_skew: AtomicBool,
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
    pub(super) record: TokenRecord,
    pub(super) tokens: GrantTokens,
    read_at: Moment,
    answered_at: Moment,
    /// The store's clock at some moment between these two, or ours where it has none.
    now: SystemTime,
}

/// A token set as it is to be stored.
pub(super) struct Write {
    pub(super) key: RecordKey,
    pub(super) record: TokenRecord,
    pub(super) tokens: GrantTokens,
}

#[cfg(test)]
impl Found {
    /// What a read at this moment shows, of a store without a clock.
    pub(super) fn sample(record: TokenRecord, tokens: GrantTokens, read_at: Moment) -> Self {
        Self { record, tokens, read_at, answered_at: read_at, now: read_at.wall }
    }
}

impl Found {
    /// What this read would have shown if `write` had been stored before.
    pub(super) fn with(&self, write: &Write) -> Self {
        let (record, tokens) = (write.record.clone(), write.tokens.clone());
        let (read_at, answered_at) = (self.read_at, self.answered_at);
        Self { record, tokens, read_at, answered_at, now: self.now }
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
        names: Option<Arc<Names>>,
        clock: Clock,
        limit: Duration,
        last_writes_stay: Duration,
        issuer: Arc<str>,
    ) -> Self {
        let last_writes = LastWrites::new(clock.clone(), last_writes_stay);
        let warned_of_skew = AtomicBool::new(false);
        let warnings = Throttle::due(Duration::from_secs(10));
        Self { store, codec, names, last_writes, clock, limit, issuer, warned_of_skew, warnings }
    }

    /// Whether the store alone keeps two processes from presenting one refresh token.
    pub(super) fn compares_and_swaps(&self) -> bool {
        self.store.compares_and_swaps()
    }

    pub(super) fn last_write_bytes(&self) -> usize {
        self.last_writes.bytes()
    }

    pub(super) async fn read(&self, key: RecordKey) -> Result<Read, RefreshError> {
        let read_at = self.clock.moment();
        let loaded = self.ask(async { self.store.load(key).await }).await?;
        let answered_at = self.clock.moment();
        self.judge_skew(read_at, loaded.now);
        let now = loaded.now.unwrap_or(answered_at.wall);
        let Some(record) = loaded.record else { return Ok(Read::Absent) };
        if let Some(ending) = record.ending() {
            return Ok(Read::Ended(ending));
        }
        let tokens = self.open(key, &record)?;
        Ok(Read::Held(Box::new(Found { record, tokens, read_at, answered_at, now })))
    }

    /// Whether the store holds the mark of `nonce`: a swap whose answer got lost has worked then.
    pub(super) async fn holds(&self, key: RecordKey, nonce: Nonce) -> Result<bool, RefreshError> {
        let loaded = self.ask(async { self.store.load(key).await }).await?;
        Ok(loaded.record.is_some_and(|record| {
            matches!(record.state(), RecordState::Presenting { .. })
                && record.version().nonce == nonce
        }))
    }

    /// Makes the record of a new login.
    pub(super) async fn create(&self, write: &Write) -> Result<(), RefreshError> {
        let names = self.names_of(&write.tokens);
        self.ask(async { self.store.create(write.key, &write.record, &names).await }).await?;
        self.last_writes.note(write.key, &write.record);
        Ok(())
    }

    /// Swaps the record for one with the same tokens, another state and `nonce`. Gives the version
    /// that is stored from now on.
    pub(super) async fn swap(
        &self,
        key: RecordKey,
        expected: RecordVersion,
        found: &Found,
        state: RecordState,
        nonce: Nonce,
    ) -> Result<Option<RecordVersion>, RefreshError> {
        let keep_until = found.record.keep_until();
        let new = self.encode(key, &found.tokens, state, nonce, keep_until)?;
        match self.ask(async { self.store.swap(key, expected, &new).await }).await? {
            Swapped::Done => Ok(Some(new.version())),
            Swapped::Changed => Ok(None),
        }
    }

    /// Stores a newer set.
    pub(super) async fn put(&self, write: &Write) -> Result<Put, RefreshError> {
        let names = self.names_of(&write.tokens);
        let put = self
            .ask(async { self.store.put_newer(write.key, &write.record, &names).await })
            .await?;
        if put == Put::Stored {
            self.last_writes.note(write.key, &write.record);
        }
        Ok(put)
    }

    /// Ends a login, unless its generation is later than `up_to`.
    pub(super) async fn end(
        &self,
        key: RecordKey,
        ending: Ending,
        up_to: Option<u64>,
    ) -> Result<Ended, RefreshError> {
        let ended = self.ask(async { self.store.end(key, &ending, up_to).await }).await?;
        if !matches!(ended, Ended::Newer(_)) {
            self.last_writes.forget(key);
        }
        Ok(ended)
    }

    /// The records of the logins that a provider may mean by `name`.
    pub(super) async fn find(&self, name: NameKey) -> Result<Vec<RecordKey>, RefreshError> {
        self.ask(async { self.store.find(name).await }).await
    }

    /// Whether something was [noted](Self::note) under `key`, in any process.
    pub(super) async fn has_note(&self, key: RecordKey) -> Result<bool, RefreshError> {
        Ok(self.ask(async { self.store.load(key).await }).await?.record.is_some())
    }

    /// Notes for all processes that something is over, by a record that says only that.
    pub(super) async fn note(&self, key: RecordKey, stays: Duration) -> Result<(), RefreshError> {
        let keep_until = saturating_add(self.clock.now(), stays);
        let (reason, revoke, with_session) = (EndingReason::Provider, false, false);
        let ending = Ending { reason, revoke, with_session, keep_until };
        let record = TokenRecord::of_ending(ending, &self.issuer);
        self.ask(async { self.store.create(key, &record, &[]).await }).await
    }

    /// The set that this process stored last, if that is newer than `than`.
    pub(super) fn last_write(&self, key: RecordKey, than: u64) -> Option<Write> {
        let record = self.last_writes.get(key).filter(|record| record.generation() > than)?;
        let tokens = self.open(key, &record).ok()?;
        Some(Write { key, record, tokens })
    }

    /// A set as it is to be stored. Its record lives as long as its refresh token, and at least as
    /// long as the session that points to it.
    pub(super) fn write(
        &self,
        key: RecordKey,
        tokens: GrantTokens,
        nonce: Nonce,
        session_ends: SystemTime,
    ) -> Result<Write, RefreshError> {
        let life = tokens.lifetime().whole();
        let tokens_end =
            tokens.refresh_expires_at.unwrap_or_else(|| saturating_add(self.clock.now(), KEPT));
        // A session may be used, and last longer for it, until the next refresh writes this anew.
        let needed = tokens_end.max(tokens.expires_at).max(saturating_add(session_ends, life));
        let state = RecordState::Live;
        let record = self.encode(key, &tokens, state, nonce, saturating_add(needed, MARGIN))?;
        Ok(Write { key, record, tokens })
    }

    /// The tokens of a record.
    pub(super) fn open(
        &self,
        key: RecordKey,
        record: &TokenRecord,
    ) -> Result<GrantTokens, RefreshError> {
        let tokens = match self.codec.open(key, record) {
            Ok(tokens) => tokens,
            Err(CodecError::Record(error)) => return Err(record_failed(&error)),
            Err(CodecError::Sealed(error)) => {
                self.codec.report(error);
                return Err(sealed_shut());
            }
        };
        if *tokens.issuer != *self.issuer {
            return Err(misconfigured(format!(
                "the session points to a login at {:?}, and this refresher is for {:?}: give each \
                 of them a `session_key` of its own",
                tokens.issuer, self.issuer
            )));
        }
        Ok(tokens)
    }

    fn encode(
        &self,
        key: RecordKey,
        tokens: &GrantTokens,
        state: RecordState,
        nonce: Nonce,
        keep_until: SystemTime,
    ) -> Result<TokenRecord, RefreshError> {
        let record = self.codec.encode(key, tokens, state, nonce, keep_until);
        record.map_err(|error| {
            misconfigured("the tokens could not be written as a record").with_source(error)
        })
    }

    fn names_of(&self, tokens: &GrantTokens) -> Vec<NameKey> {
        self.names.as_ref().map(|names| names.of(tokens)).unwrap_or_default()
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
    async fn ask<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, RefreshError> {
        let call = AssertUnwindSafe(call).catch_unwind();
        let answer = match tokio::time::timeout(self.limit, call).await {
            Ok(Ok(answer)) => answer.map_err(store_failed),
            Ok(Err(_panic)) => Err(internal()),
            Err(_elapsed) => Err(unavailable("the token store did not answer in time")),
        };
        answer.inspect_err(|error| {
            if self.warnings.is_due(self.clock.monotonic()) {
                let error = Chain(error);
                tracing::warn!(%error, "the token store failed (logged every ten seconds at most)");
            }
        })
    }

    /// The store's clock where it has one: marks that other processes set are dated by it.
    fn judge_skew(&self, read_at: Moment, store: Option<SystemTime>) {
        let Some(store) = store else { return };
        let ours = read_at.wall;
        let skew = ours.duration_since(store).unwrap_or_else(|ahead| ahead.duration());
        // The answer took a while to come.
        if skew > SKEW + self.clock.since(read_at) {
            metrics::clock_skewed();
            if !self.warned_of_skew.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    seconds = skew.as_secs(),
                    "the clocks of this process and of the token store differ (logged once)"
                );
            }
        }
    }
}
