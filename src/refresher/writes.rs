//! What is written to the token store, and when.
//!
//! | write | when | if the store refuses it |
//! |---|---|---|
//! | `create` | at log in, before the session points to the record | the login fails |
//! | `mark` | just before the refresh token is sent, each time anew | nothing is sent; a store that does not compare and swap may refuse it |
//! | `unmark` | after an attempt that certainly did not use the refresh token up | the others wait until the mark is too old |
//! | `put` | the provider gave a new set, or a read shows that the store lacks one ([`newest`](super::newest)) | [`unsaved`](super::unsaved) tries again |
//! | `end` | for every cause in the table of [`ending`](super::ending) | [`unsaved`](super::unsaved) tries again |
//! | `used` | after a logout token was carried out | only this process refuses it a second time |
//!
//! Nothing else is written: a request whose token needs no refresh writes nothing. Each write asks
//! the store once. How long a record is kept is in [`prolong`](super::prolong).

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    errors::misconfigured,
    last_writes::LastWrites,
    prolong,
    records::{Found, Records},
    store_clock::Offset,
};
use crate::{
    back_channel::Names,
    clock::Clock,
    error::RefreshError,
    metrics::Meter,
    token_store::{
        Ended, Ending, EndingReason, NameKey, Nonce, Put, RecordState, RecordVersion, Swapped,
        TokenRecord,
    },
    tokens::{Generation, GrantTokens, RecordKey, saturating_add},
};

pub(super) struct Writes {
    records: Arc<Records>,
    /// None where the provider does not tell who has logged out: nobody looks a login up then.
    names: Option<Arc<Names>>,
    last: LastWrites,
    clock: Clock,
    meter: Arc<Meter>,
}

/// A token set as it is to be stored.
pub(super) struct Write {
    pub(super) key: RecordKey,
    pub(super) record: TokenRecord,
    /// In this process's time; those in the record are in the store's.
    pub(super) tokens: GrantTokens,
    pub(super) offset: Offset,
}

impl Writes {
    pub(super) fn new(
        records: Arc<Records>,
        names: Option<Arc<Names>>,
        clock: Clock,
        last_writes_stay: Duration,
        meter: Arc<Meter>,
    ) -> Self {
        let last = LastWrites::new(clock.clone(), last_writes_stay);
        Self { records, names, last, clock, meter }
    }

    /// A set as it is to be stored, for a login whose session ends at `session_ends`.
    pub(super) fn prepare(
        &self,
        key: RecordKey,
        tokens: GrantTokens,
        nonce: Nonce,
        session_ends: SystemTime,
    ) -> Result<Write, RefreshError> {
        let offset = self.records.offset();
        let keep_until = prolong::keep_until(&tokens, session_ends, self.clock.now());
        let (live, keep_until) = (RecordState::Live, offset.to_store(keep_until));
        let record = self.encode(key, &tokens, offset, live, nonce, keep_until)?;
        Ok(Write { key, record, tokens, offset })
    }

    /// Makes the record of a new login.
    pub(super) async fn create(&self, write: &Write) -> Result<(), RefreshError> {
        let (records, names) = (&self.records, self.names_of(&write.tokens));
        let store = &records.store;
        records
            .ask("create", async { store.create(write.key, &write.record, &names).await })
            .await?;
        self.last.keep(write.key, &write.record);
        Ok(())
    }

    /// Marks the record that was `found`, in the version `expected`. Gives the version that is
    /// stored from now on, or none if somebody has changed the record.
    pub(super) async fn mark(
        &self,
        key: RecordKey,
        expected: RecordVersion,
        found: &Found,
        since: SystemTime,
        nonce: Nonce,
    ) -> Result<Option<RecordVersion>, RefreshError> {
        self.swap(key, expected, found, RecordState::Presenting { since }, nonce).await
    }

    /// Takes the mark `marked` back.
    pub(super) async fn unmark(
        &self,
        key: RecordKey,
        marked: RecordVersion,
        found: &Found,
    ) -> Result<(), RefreshError> {
        self.swap(key, marked, found, RecordState::Live, marked.nonce).await.map(|_| ())
    }

    async fn swap(
        &self,
        key: RecordKey,
        expected: RecordVersion,
        found: &Found,
        state: RecordState,
        nonce: Nonce,
    ) -> Result<Option<RecordVersion>, RefreshError> {
        let keep_until = found.record.keep_until();
        let new = self.encode(key, &found.tokens, found.offset, state, nonce, keep_until)?;
        let store = &self.records.store;
        match self.records.ask("swap", async { store.swap(key, expected, &new).await }).await? {
            Swapped::Done => Ok(Some(new.version())),
            Swapped::Changed => Ok(None),
        }
    }

    /// Stores a newer set.
    pub(super) async fn put(&self, write: &Write) -> Result<Put, RefreshError> {
        let (records, names) = (&self.records, self.names_of(&write.tokens));
        let put = async { records.store.put_newer(write.key, &write.record, &names).await };
        let put = records.ask("put", put).await?;
        match put {
            Put::Stored => self.last.keep(write.key, &write.record),
            Put::NotNewer => self.meter.swap_lost("put"),
            Put::Ended(_) | Put::Absent => {}
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
        let store = &self.records.store;
        let ended = self.records.ask("end", async { store.end(key, &ending, up_to).await }).await?;
        if !matches!(ended, Ended::Newer(_)) {
            self.last.forget(key);
        }
        Ok(ended)
    }

    /// Tells all processes that a logout token was carried out, by an ended record of its own.
    pub(super) async fn used(
        &self,
        key: RecordKey,
        issuer: &str,
        stays: Duration,
    ) -> Result<(), RefreshError> {
        let keep_until = saturating_add(self.records.offset().to_store(self.clock.now()), stays);
        let (reason, revoke, with_session) = (EndingReason::Provider, false, false);
        let nonce = Nonce::random();
        let ending = Ending { reason, revoke, with_session, keep_until, nonce };
        let record = TokenRecord::of_ending(ending, issuer);
        let store = &self.records.store;
        self.records.ask("create", async { store.create(key, &record, &[]).await }).await
    }

    /// The set that this process stored last, if that is newer than `than`.
    pub(super) fn last(&self, key: RecordKey, than: u64) -> Option<Write> {
        let record = self.last.get(key).filter(|record| record.generation() > than)?;
        let (tokens, offset) = (self.records.open(key, &record).ok()?, self.records.offset());
        Some(Write { key, record, tokens, offset })
    }

    /// Whether this process has stored the set of `generation`, or a newer one, lately.
    pub(super) fn has_written(&self, key: RecordKey, generation: Generation) -> bool {
        self.last.get(key).is_some_and(|record| record.generation() >= generation.0)
    }

    /// About how many bytes the last writes take.
    pub(super) fn last_bytes(&self) -> usize {
        self.last.bytes()
    }

    fn encode(
        &self,
        key: RecordKey,
        tokens: &GrantTokens,
        offset: Offset,
        state: RecordState,
        nonce: Nonce,
        keep_until: SystemTime,
    ) -> Result<TokenRecord, RefreshError> {
        let tokens = offset.tokens_to_store(tokens.clone());
        let record = self.records.codec.encode(key, &tokens, state, nonce, keep_until);
        record.map_err(|error| {
            misconfigured("the tokens could not be written as a record").with_source(error)
        })
    }

    fn names_of(&self, tokens: &GrantTokens) -> Vec<NameKey> {
        self.names.as_ref().map(|names| names.of(tokens)).unwrap_or_default()
    }
}
