//! The end of a refresher.

use std::time::Duration;

use super::Core;

/// [`shutdown`](crate::TokenRefresher::shutdown) has left something undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "at shutdown (limit {limit:?}), {tasks} refreshes, logins or logouts had not finished, and the \
     token store lacked the newest tokens or the ending of {unsaved} logins"
)]
pub struct ShutdownError {
    tasks: usize,
    unsaved: usize,
    limit: Duration,
}

pub(super) async fn shutdown(core: &Core, limit: Duration) -> Result<(), ShutdownError> {
    // In this order: whoever is about to start a flight holds a token of the tasks before it looks
    // whether this is the end.
    core.closing.cancel();
    core.tasks.close();
    let ended = tokio::time::timeout(limit, core.tasks.wait()).await;
    match (ended, core.unsaved.count()) {
        (Ok(()), 0) => Ok(()),
        (_, unsaved) => Err(ShutdownError { tasks: core.tasks.len(), unsaved, limit }),
    }
}
