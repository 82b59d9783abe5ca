//! Deletes rows past their time, now and then, while nobody waits for it.

use std::{error::Error, future::Future, time::Duration};

use crate::{
    clock::{Clock, Throttle},
    error::Chain,
};

pub(crate) struct Reaper {
    clock: Clock,
    due: Throttle,
    /// What is deleted, for the log.
    what: &'static str,
}

impl Reaper {
    pub(crate) fn new(what: &'static str, every: Duration) -> Self {
        Self { clock: Clock::system(), due: Throttle::due(every), what }
    }

    pub(crate) fn run_if_due<R, E>(&self, reap: impl FnOnce() -> R)
    where
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: Error + Send + 'static,
    {
        if self.due.is_due(self.clock.monotonic()) {
            let (reaping, what) = (reap(), self.what);
            tokio::spawn(async move {
                if let Err(error) = reaping.await {
                    tracing::warn!(error = %Chain(&error), "old {what} could not be deleted");
                }
            });
        }
    }
}
