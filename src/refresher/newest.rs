//! The newest tokens of a login: the token store's, or what this process has of it and the store
//! lacks.
//!
//! A store may lack a set because it has refused it so far, or because it has lost its last write
//! in a failover. Whoever reads such a record writes the newer set again first, never over an
//! ending or where the record is gone.

use std::sync::Arc;

use super::{
    ending::{Endings, Login},
    records::{Found, Read, Records},
    unsaved::Unsaved,
    writes::{Write, Writes},
};
use crate::{error::RefreshError, token_store::Put};

/// Another process may write between a read and a write. More often than this in a row is no
/// browser's doing.
const MOST_CHANGES: usize = 4;

pub(super) enum Newest {
    Absent,
    Ended,
    Held {
        found: Box<Found>,
        /// Why the token store has not taken them so far. They are good to serve all the same.
        refused: Option<RefreshError>,
    },
}

/// Reads the record of `login` and writes what the store lacks.
pub(super) async fn newest(
    records: &Records,
    writes: &Writes,
    unsaved: &Unsaved,
    endings: &Endings,
    login: Login,
) -> Result<Newest, RefreshError> {
    let key = login.key;
    for _ in 0..MOST_CHANGES {
        let found = match records.read(key).await? {
            Read::Absent => return Ok(Newest::Absent),
            Read::Ended(ending) => {
                endings.learn(login, ending);
                return Ok(Newest::Ended);
            }
            Read::Held(found) => found,
        };
        let Some(write) = missing(writes, unsaved, &found, login) else {
            return Ok(Newest::Held { found, refused: None });
        };
        match writes.put(&write).await {
            Ok(Put::Stored) => {
                unsaved.release(key, write.tokens.generation);
                let found = Box::new(found.with(write.record.clone(), write.tokens.clone()));
                return Ok(Newest::Held { found, refused: None });
            }
            Ok(Put::Absent) => return Ok(Newest::Absent),
            Ok(Put::Ended(ending)) => {
                endings.learn(login, ending);
                return Ok(Newest::Ended);
            }
            Ok(Put::NotNewer) => {}
            Err(refused) => {
                let found = Box::new(found.with(write.record.clone(), write.tokens.clone()));
                return Ok(Newest::Held { found, refused: Some(refused) });
            }
        }
    }
    Err(super::errors::unavailable("the token record kept changing"))
}

/// The newest set that this process has of the login, if the store's is older.
fn missing(writes: &Writes, unsaved: &Unsaved, found: &Found, login: Login) -> Option<Arc<Write>> {
    let than = found.record.generation();
    let unsaved = unsaved.set(login.key).filter(|write| write.record.generation() > than);
    let last = writes.last(login.key, than).map(Arc::new);
    unsaved.into_iter().chain(last).max_by_key(|write| write.record.generation())
}
