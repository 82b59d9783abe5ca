//! Between tower-sessions and the store: how tokens lie in a record, and who may write what over whom.
//!
//! tower-sessions saves whole records and the last writer wins, so a slow request can put an old token set over a new one, or
//! bring a deleted session back. [`GuardedStore`] wraps the application's store and lets neither happen:
//!
//! - only `create` brings a grant into a record; a `save` over nothing, or over a record without an entry, leaves tokens out;
//! - of two sets of one grant the higher generation stays; the stored set of another grant stays; a stored tombstone stays;
//! - a `save` without tokens over a record that has some ends the grant and leaves a tombstone;
//! - a `create` (after `cycle_id` or log in) carries the newest set known anywhere, not the caller's snapshot;
//! - a `delete` keeps the set it deletes in the ledger, for the `create` that may follow;
//! - a `load` shows neither tombstones nor the tokens of ended grants, nor anything of a session that ends with its login;
//! - records of the same store that are marked as no sessions are shown to nobody, written over by nobody and deleted by nobody.
//!
//! Everything else in a record stays as tower-sessions defines it.

mod aside;
mod burial;
mod codec;
pub(crate) mod entry;
mod guard;
mod home;
mod locks;
mod seal;
mod upkeep;
mod view;

pub(crate) use aside::NO_SESSION;
pub(crate) use burial::Burials;
pub(crate) use codec::Codec;
pub use guard::GuardedStore;
pub(crate) use home::{Patched, Stored};
pub(crate) use locks::IdLocks;
pub use seal::{SealKeys, SealKeysError};
pub(crate) use upkeep::{bring_up_to_date, slide_cookie};
