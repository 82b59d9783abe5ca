//! Where the tokens of all logins lie: a record of its own for each grant.
//!
//! A session holds the id of its grant and nothing else of it. The tokens lie in a [`TokenRecord`]
//! that only a log in, a refresh or an ending writes, so that no late save of a session can undo a
//! refresh or a log out.
//!
//! | who | calls | may write over |
//! |---|---|---|
//! | log in | [`create`](TokenStore::create) | nothing |
//! | a refresh, before it presents the refresh token and after it knows that it was not used up | [`swap`](TokenStore::swap) | the very record it has read |
//! | a refresh that brings new tokens | [`put_newer`](TokenStore::put_newer) | every older generation that has not ended |
//! | an ending | [`end`](TokenStore::end) | everything but an earlier ending |
//!
//! [`InSessions`] keeps the records in the application's session store. It compares and writes in
//! two steps, so it is for one process. A store that does both in one step
//! ([`compares_and_swaps`](TokenStore::compares_and_swaps)) is safe with any number of processes.

pub(crate) mod codec;
mod in_sessions;
mod index;
mod record;
pub(crate) mod seal;

use std::{fmt, time::SystemTime};

use async_trait::async_trait;

pub use self::{
    in_sessions::InSessions,
    record::{Ending, EndingReason, Nonce, RecordError, RecordState, RecordVersion, TokenRecord},
    seal::{SealKeys, SealKeysError},
};
pub use crate::tokens::RecordKey;

pub(crate) use self::in_sessions::is_token_record;

/// Keeps token records. Object-safe; implement it to keep them in a database of your own.
///
/// An implementation must do each call as one step for all who share the store, or say that it
/// does not by [`compares_and_swaps`](Self::compares_and_swaps). The `contract` test suite of this
/// crate (`tests/store_contract`) shows what each call promises.
///
/// A call may be dropped before it has answered. It then has taken effect or not, never in part.
///
/// # Errors
/// Every call fails with [`StoreError::Backend`] if the store cannot be reached or refuses, and
/// with [`StoreError::Record`] if what lies under the key cannot be read. It leaves such a record
/// as it is.
#[async_trait]
pub trait TokenStore: fmt::Debug + Send + Sync + 'static {
    /// Whether [`swap`](Self::swap), [`put_newer`](Self::put_newer) and [`end`](Self::end) compare
    /// and write in one step, also for other processes.
    fn compares_and_swaps(&self) -> bool;

    /// Reads the record of `key`.
    async fn load(&self, key: RecordKey) -> Result<Loaded, StoreError>;

    /// Writes the first record of a grant, and fails where there is one already. From when this
    /// returns, [`find`](Self::find) finds it by each of `names`.
    async fn create(
        &self,
        key: RecordKey,
        record: &TokenRecord,
        names: &[NameKey],
    ) -> Result<(), StoreError>;

    /// Writes `new` if the stored record still has the version `expected`: its generation, state
    /// and nonce.
    async fn swap(
        &self,
        key: RecordKey,
        expected: RecordVersion,
        new: &TokenRecord,
    ) -> Result<Swapped, StoreError>;

    /// Writes `new` over a record of an older generation that has not ended, whatever its nonce. A
    /// record of the same generation and nonce is `new` itself, stored before: that is
    /// [`Put::Stored`], too. Keeps `names` findable for as long as the record lives.
    async fn put_newer(
        &self,
        key: RecordKey,
        new: &TokenRecord,
        names: &[NameKey],
    ) -> Result<Put, StoreError>;

    /// Ends a grant: replaces its record by one that says only how it ended. The first ending
    /// stays. With `up_to`, a record of a later generation stays as well.
    async fn end(
        &self,
        key: RecordKey,
        ending: &Ending,
        up_to: Option<u64>,
    ) -> Result<Ended, StoreError>;

    /// The records that were created under `name` and have not ended, for back-channel logout. It
    /// may give keys whose record has ended or is gone. The store need not keep more than 100 per
    /// name.
    async fn find(&self, name: NameKey) -> Result<Vec<RecordKey>, StoreError>;
}

/// What [`TokenStore::load`] found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Loaded {
    /// None: there is no record.
    pub record: Option<TokenRecord>,
    /// The store's own clock, where it has one. Ages of marks are judged by it.
    pub now: Option<SystemTime>,
}

impl Loaded {
    /// A record, or none, from a store without a clock.
    #[must_use]
    pub fn new(record: Option<TokenRecord>) -> Self {
        Self { record, now: None }
    }

    /// With the store's own time.
    #[must_use]
    pub fn at(mut self, now: SystemTime) -> Self {
        self.now = Some(now);
        self
    }
}

/// What [`TokenStore::swap`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swapped {
    /// The new record is stored.
    Done,
    /// The record is gone or has another version. Nothing was written.
    Changed,
}

/// What [`TokenStore::put_newer`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// The new record is stored.
    Stored,
    /// Another record of the same or a later generation is stored. Nothing was written.
    NotNewer,
    /// The grant has ended. Nothing was written.
    Ended(Ending),
    /// There is no record. Nothing was written.
    Absent,
}

/// What [`TokenStore::end`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The ending is stored, over this record.
    Replaced(TokenRecord),
    /// The grant had ended before, in this way.
    Before(Ending),
    /// The record is of a later generation than `up_to`. Nothing was written.
    Newer(TokenRecord),
    /// There is no record. Nothing was written.
    Absent,
}

/// A name that a provider may end logins by (`sid` or `sub`), as the token store sees it: an HMAC
/// under the key given to `back_channel_logout`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NameKey([u8; 16]);

impl NameKey {
    /// A key from its 16 bytes, as [`to_bytes`](Self::to_bytes) gave them.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes of the key.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Debug for NameKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NameKey")
    }
}

/// Why a token store did not do what it was asked for. Cheap to clone.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store cannot be reached, or refuses.
    #[error("the token store failed")]
    Backend(#[source] std::sync::Arc<dyn std::error::Error + Send + Sync>),
    /// The record cannot be read. It is left as it is.
    #[error("the token record cannot be read")]
    Record(#[from] RecordError),
}

impl StoreError {
    /// The store cannot be reached, or refuses. The source must show no token and no key.
    pub fn backend(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Backend(source.into().into())
    }
}
