//! The end of a refresher.

use std::time::Duration;

use super::Core;

/// [`shutdown`](crate::TokenRefresher::shutdown) did not see everything end within its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{tasks} refreshes, log ins or log outs were still under way after {limit:?}")]
pub struct ShutdownTimeout {
    tasks: usize,
    limit: Duration,
}

pub(super) async fn shutdown(core: &Core, limit: Duration) -> Result<(), ShutdownTimeout> {
    // In this order: whoever is about to start a flight holds a token of the tasks before it looks
    // whether this is the end.
    core.closing.cancel();
    core.tasks.close();
    let ended = tokio::time::timeout(limit, core.tasks.wait()).await;
    ended.map_err(|_elapsed| ShutdownTimeout { tasks: core.tasks.len(), limit })
}
