#![expect(clippy::disallowed_methods, reason = "tokio's clock is what the test moves")]

use std::time::SystemTime;

use tokio::time::Instant;

use super::*;
use crate::{
    clock::{Clock, TimeSource},
    lock::{
        LockService,
        leases::{Server, Taken, Waiters},
    },
};

const LEASE: Duration = Duration::from_secs(3);

/// Gives the key, and answers nothing after that.
struct Silent;

#[async_trait]
impl Server for Silent {
    fn backend(&self) -> &'static str {
        "silent"
    }

    async fn take(&self, _: LockKey, _: Owner, _: Duration) -> Result<Taken, LockError> {
        Ok(Taken::Yes)
    }

    async fn renew(&self, _: LockKey, _: Owner, _: Duration) -> Result<bool, LockError> {
        std::future::pending().await
    }

    async fn release(&self, _: LockKey, _: Owner) -> Result<bool, LockError> {
        Ok(true)
    }

    async fn left(&self, _: LockKey) -> Result<Option<Duration>, LockError> {
        Ok(None)
    }

    async fn listen(&self, _: &Waiters) -> Result<(), LockError> {
        Ok(())
    }
}

/// Goes with tokio's clock, which stands still unless a test moves it.
struct TokioTime(Instant);

impl TimeSource for TokioTime {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_holder_is_told_when_its_lease_ends_even_if_the_server_is_silent() {
    let mut leases = Leases::new(Silent).with_lease(LEASE);
    leases.clock = Clock::new(TokioTime(Instant::now()));
    let began = Instant::now();
    let guard = leases.acquire("a key").await.expect("the server gives it");
    guard.lost().await;
    assert_eq!(began.elapsed(), LEASE);
    assert!(!guard.is_held());
}
