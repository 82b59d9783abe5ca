//! Where the tokens are: a record of its own for each login.
//!
//! A session holds only the id of its login (its *grant*). The tokens are in a [`TokenRecord`],
//! which only a login, a refresh or an ending writes. So no late save of a session can undo a
//! refresh or a logout.
//!
//! | who | calls | may write over |
//! |---|---|---|
//! | log in | [`create`](TokenStore::create) | nothing |
//! | a refresh, to set its mark and to take it back | [`swap`](TokenStore::swap) | the very record that it read |
//! | a refresh that brings new tokens | [`put_newer`](TokenStore::put_newer) | any older generation that has not ended |
//! | an ending | [`end`](TokenStore::end) | everything but an earlier ending |
//!
//! [`InSessions`] keeps the records in the application's session store. It compares and writes in
//! separate steps, so it is for one process. A store that does both in one step
//! ([`compares_and_swaps`](TokenStore::compares_and_swaps)) is safe with any number of processes.
//!
//! | store | feature | processes | tells the others |
//! |---|---|---|---|
//! | [`InSessions`] | | one | |
//! | `RedisTokens` | `redis` | any number | at once |
//! | `PostgresTokens` | `postgres` | any number | at once |
//! | `SqliteTokens` | `sqlite` | those of one machine | |

pub(crate) mod codec;
mod in_sessions;
mod index;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod notification;
#[cfg(feature = "postgres")]
mod postgres;
mod record;
#[cfg(feature = "redis")]
mod redis;
pub(crate) mod seal;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
mod text;

use std::{fmt, time::SystemTime};

use async_trait::async_trait;

#[cfg(feature = "postgres")]
pub use self::postgres::{PostgresTokens, SchemaNameError};
#[cfg(feature = "redis")]
pub use self::redis::RedisTokens;
#[cfg(feature = "sqlite")]
pub use self::sqlite::SqliteTokens;
pub use self::{
    in_sessions::InSessions,
    record::{
        Ending, EndingReason, Nonce, RecordError, RecordState, RecordStateKind, RecordVersion,
        TokenRecord,
    },
    seal::{SealKeys, SealKeysError},
};
pub use crate::tokens::RecordKey;

pub(crate) use self::in_sessions::is_token_record;

/// A swap that fails means that somebody else has written. So many in a row are no refreshes.
const MOST_SWAPS: usize = 32;

/// Keeps token records. Implement it to keep them in a database of your own. It is object-safe.
///
/// Each `load`, `create`, `swap` and `put_newer` must be one step for everybody who shares the
/// store, and so must `end`, unless it is left as it is. If they are not,
/// [`compares_and_swaps`](Self::compares_and_swaps) must return false. The test suite in
/// `tests/store_contract` shows what each call promises.
///
/// The caller may drop the future of a call. The record is then written or not, never in part; some
/// of its names may be missing, or may find no record.
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

    /// Writes the first record of a grant, and fails where there is one already. After that,
    /// [`find`](Self::find) finds it by each of `names`.
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

    /// Writes `new` over a record of an older generation that has not ended, whatever its nonce. If
    /// the stored record has the same generation and nonce, it is `new` itself, and the answer is
    /// [`Put::Stored`], too. `names` find the record for as long as it lives.
    async fn put_newer(
        &self,
        key: RecordKey,
        new: &TokenRecord,
        names: &[NameKey],
    ) -> Result<Put, StoreError>;

    /// Ends a grant: replaces its record with one that says only how it ended. The first ending
    /// stays. With `up_to`, a record of a later generation stays, too.
    ///
    /// Unless you write it, it loads the record and [swaps](Self::swap) it, and begins again if
    /// somebody else has written in between.
    async fn end(
        &self,
        key: RecordKey,
        ending: &Ending,
        up_to: Option<u64>,
    ) -> Result<Ended, StoreError> {
        for _ in 0..MOST_SWAPS {
            let Some(stored) = self.load(key).await?.record else { return Ok(Ended::Absent) };
            if let Some(before) = stored.ending() {
                return Ok(Ended::Before(before));
            }
            if up_to.is_some_and(|up_to| stored.generation() > up_to) {
                return Ok(Ended::Newer(stored));
            }
            let swapped = self.swap(key, stored.version(), &stored.ended(ending)).await?;
            if swapped == Swapped::Done {
                return Ok(Ended::Replaced(stored));
            }
        }
        Err(StoreError::backend("the record kept changing"))
    }

    /// The records that were created under `name` and have not ended, for back-channel logout. It
    /// may give keys whose record has ended or is gone. The store need not keep more than 100 per
    /// name.
    async fn find(&self, name: NameKey) -> Result<Vec<RecordKey>, StoreError>;

    /// Tells `listener` what any process does to the records, until the connection is lost; then it
    /// returns the error, and the caller begins again. Returns at once if the store cannot tell,
    /// which is the default.
    ///
    /// Nothing relies on it: without it a process looks at the store again after a while. What
    /// happens while nobody listens is not told later.
    async fn listen(&self, listener: &dyn RecordListener) -> Result<(), StoreError> {
        let _ = listener;
        Ok(())
    }
}

/// Whom a [`TokenStore`] tells what happens to its records. No call blocks.
pub trait RecordListener: Send + Sync {
    /// From now on everything is told.
    fn listening(&self);

    /// A refresh of this grant has ended: its record has new tokens, or its mark was taken back.
    fn changed(&self, key: RecordKey);

    /// This grant has ended.
    fn ended(&self, key: RecordKey, ending: Ending);
}

/// What [`TokenStore::load`] found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Loaded {
    /// None if there is no record.
    pub record: Option<TokenRecord>,
    /// The time of the store's own clock, if it has one. The ages of marks are measured by it.
    pub now: Option<SystemTime>,
}

impl Loaded {
    /// What a store without a clock found.
    #[must_use]
    pub fn new(record: Option<TokenRecord>) -> Self {
        Self { record, now: None }
    }

    /// Adds the store's own time.
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
    /// The ending is stored. It replaced this record.
    Replaced(TokenRecord),
    /// The grant had ended before, like this. Nothing was written.
    Before(Ending),
    /// The record is of a later generation than `up_to`. Nothing was written.
    Newer(TokenRecord),
    /// There is no record. Nothing was written.
    Absent,
}

/// A `sid` or `sub` by which a provider may end logins, as the token store sees it: an HMAC under
/// the key that [`back_channel_logout`](crate::TokenRefresherBuilder::back_channel_logout) was
/// given.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NameKey([u8; 16]);

impl NameKey {
    /// Makes a key from the bytes that [`to_bytes`](Self::to_bytes) returned.
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

/// Why a call of a token store failed. Cheap to clone.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store cannot be reached or refuses.
    #[error("the token store failed")]
    Backend(#[source] std::sync::Arc<dyn std::error::Error + Send + Sync>),
    /// The record cannot be read. It is left as it is.
    #[error("the token record cannot be read")]
    Record(#[from] RecordError),
}

impl StoreError {
    /// The error of a store that cannot be reached or refuses. The source must show no token and no
    /// key.
    pub fn backend(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Backend(source.into().into())
    }
}
