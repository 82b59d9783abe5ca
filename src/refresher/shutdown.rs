//! The end of a refresher.

use std::time::Duration;

use super::Core;

/// [`shutdown`](crate::TokenRefresher::shutdown) did not see everything end within its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{tasks} refreshes, log ins or log outs were still under way after {limit:?}")]
pub struct StillRunning {
    tasks: usize,
    limit: Duration,
}

impl Core {
    pub(super) async fn shutdown(&self, limit: Duration) -> Result<(), StillRunning> {
        // In this order: whoever is about to start a flight holds a token of the tasks before it looks whether this is the end.
        self.closing.cancel();
        self.tasks.close();
        let ended = tokio::time::timeout(limit, self.tasks.wait()).await;
        ended.map_err(|_elapsed| StillRunning { tasks: self.tasks.len(), limit })
    }
}
