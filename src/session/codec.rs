//! Entries as this refresher writes and reads them: plain, or sealed where it was given keys.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use serde_json::Value;
use tower_sessions::{session::Record, session_store};

use super::{
    entry::{self, Entry, EntryError},
    guard::{GuardedStore, Inner},
    seal::{SealError, SealKeys},
};
use crate::grant::HeldSet;

/// Whoever can write to the store can make up key ids; the log does not grow with them.
const REPORTS: usize = 64;

pub(crate) struct Codec {
    keys: Option<SealKeys>,
    reported: Mutex<HashSet<SealError>>,
}

impl Codec {
    pub(crate) fn new(keys: Option<SealKeys>) -> Self {
        Self { keys, reported: Mutex::default() }
    }

    pub(super) fn write(&self, set: &HeldSet) -> session_store::Result<String> {
        entry::live(set, self.keys.as_ref())
            .map_err(|error| session_store::Error::Encode(format!("the session's tokens: {error}")))
    }

    /// The set of a live entry, None for a tombstone. Plain entries are read with and without keys: a store may hold some from
    /// before there were any.
    pub(super) fn read(&self, entry: &Entry<'_>) -> Result<Option<HeldSet>, EntryError> {
        entry.open(self.keys.as_ref())
    }

    /// Seals an entry anew that is about to be written, if it is plain or sealed with an older key. What does not open stays as
    /// it is: another process may have the key.
    pub(super) fn renew(&self, stored: &mut String) -> session_store::Result<()> {
        if let Some(keys) = &self.keys
            && let Ok(entry) = Entry::parse(stored)
            && !entry.is_sealed_by_first_of(keys)
            && let Ok(Some(set)) = self.read(&entry)
        {
            *stored = self.write(&set)?;
        }
        Ok(())
    }
}

impl Inner {
    /// As [`Codec::renew`], for the entry of a record.
    pub(super) fn renew(&self, record: &mut Record) -> session_store::Result<()> {
        match record.data.get_mut(&*self.key) {
            Some(Value::String(stored)) => self.codec.renew(stored),
            _ => Ok(()),
        }
    }
}

impl GuardedStore {
    /// The entry of `set` as this store would hand it out.
    pub(crate) fn entry_of(&self, set: &HeldSet) -> session_store::Result<String> {
        let mut text = self.inner().codec.write(set)?;
        entry::mark_guarded(&mut text, self.mark());
        Ok(text)
    }

    /// The set of a live entry; None for a tombstone.
    pub(crate) fn open(&self, entry: &Entry<'_>) -> Result<Option<HeldSet>, EntryError> {
        self.inner().codec.read(entry)
    }

    /// Logs one line for each reason and key id: one wrong key can fail every request.
    pub(crate) fn report(&self, error: SealError) {
        let mut reported =
            self.inner().codec.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.len() < REPORTS && reported.insert(error) {
            tracing::error!(%error, "a session's entry cannot be opened; it is kept as it is (this is said once)");
        }
    }
}
