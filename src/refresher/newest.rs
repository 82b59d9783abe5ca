//! The newest tokens of a login: the token store's, or what this process has of it and the store
//! lacks.
//!
//! A store may lack a set because it has refused it so far, or because it has lost its last write
//! in a failover. Whoever reads such a record writes the newer set again first, never over an
//! ending or where the record is gone.

use std::sync::Arc;

use super::{
    Core,
    ending::Login,
    records::{Found, Read},
    writes::Write,
};
use crate::{error::RefreshError, token_store::Put, tokens::GrantId};

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

/// Reads the record of a login and writes what the store lacks.
pub(super) async fn newest(core: &Core, grant: GrantId) -> Result<Newest, RefreshError> {
    let Core { records, writes, unsaved, endings, .. } = core;
    let login = Login::of(grant);
    let key = login.key;
    let held = core.cache.get(grant).map(|token| token.generation);
    for _ in 0..MOST_CHANGES {
        let found = match records.read(key).await? {
            Read::Absent => return Ok(Newest::Absent),
            Read::Ended(ending) => {
                endings.learn(login, ending);
                return Ok(Newest::Ended);
            }
            Read::Held(found) => found,
        };
        core.one_process.check(core, held, &found);
        let Some(write) = missing(core, &found) else {
            return Ok(Newest::Held { found, refused: None });
        };
        match writes.put(&write).await {
            Ok(Put::Stored) => {
                unsaved.release(key, write.tokens.generation);
                let found = Box::new(found.with(&write));
                return Ok(Newest::Held { found, refused: None });
            }
            Ok(Put::Absent) => return Ok(Newest::Absent),
            Ok(Put::Ended(ending)) => {
                endings.learn(login, ending);
                return Ok(Newest::Ended);
            }
            Ok(Put::NotNewer) => {}
            Err(refused) => {
                let found = Box::new(found.with(&write));
                return Ok(Newest::Held { found, refused: Some(refused) });
            }
        }
    }
    Err(super::errors::unavailable("the token record kept changing"))
}

/// The newest set that this process has of the login, if the store's is older.
fn missing(core: &Core, found: &Found) -> Option<Arc<Write>> {
    let (key, than) = (found.key, found.record.generation());
    let unsaved = core.unsaved.pending(key).filter(|write| write.record.generation() > than);
    let last = core.writes.last(key, than).map(Arc::new);
    unsaved.into_iter().chain(last).max_by_key(|write| write.record.generation())
}
