//! Locks at a server: a lease per key, which its holder renews.
//!
//! | what | how |
//! |---|---|
//! | the waiters of one process | one per key asks the server; the others queue behind it |
//! | whoever asks | is woken by the server, and asks once a second besides; if the server cannot wake anybody, after 50 ms, 100 ms and so on up to 500 ms; and when the lease should have ended |
//! | the holder | renews its lease, and notices its loss: see [`held`] |
//! | a caller that is dropped | a task of its own releases the key, also if the server is just giving it |
//!
//! Times are the holder's monotonic clock for what it holds, and the server's own clock for leases.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use aws_lc_rs::{hmac, rand};
use dashmap::DashMap;
use rustc_hash::FxBuildHasher;
use tokio::{sync::Notify, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::{
    LockError, LockGuard, LockKey, LockService, held,
    measured::{always, measured},
    probe::probe,
};
use crate::{
    clock::Clock,
    error::Chain,
    keep_listening::keep_listening,
    key_locks::{Queues, Turn},
    metrics,
};

/// How long a lease lasts, unless it is renewed.
const LEASE: Duration = Duration::from_secs(10);
/// Shorter than this, a renewal that takes a moment would lose it.
const SHORTEST_LEASE: Duration = Duration::from_millis(300);
const LONGEST_LEASE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a waiter that the server does not wake pauses before it asks again.
const FIRST_POLL_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_POLL_PAUSE: Duration = Duration::from_millis(500);
/// The same for one that it does wake: a message may get lost.
const POLL_PAUSE_IF_NOTIFIED: Duration = Duration::from_secs(1);

/// Names one holder: 128 random bits.
pub(super) type Owner = [u8; 16];

/// What a server is asked. Each is one step for everybody who shares it.
#[async_trait]
pub(super) trait Server: Send + Sync + 'static {
    /// A label of metrics.
    fn backend(&self) -> &'static str;

    /// Gives the key to `owner` if it is free.
    async fn take(&self, key: LockKey, owner: Owner, lease: Duration) -> Result<Taken, LockError>;

    /// Whether `owner` has it still, and now for `lease` from now on.
    async fn renew(&self, key: LockKey, owner: Owner, lease: Duration) -> Result<bool, LockError>;

    /// Whether `owner` had it. Tells who listens.
    async fn release(&self, key: LockKey, owner: Owner) -> Result<bool, LockError>;

    /// For how long it is held, if it is.
    async fn left(&self, key: LockKey) -> Result<Option<Duration>, LockError>;

    /// Calls `waiters.listening()` once every release is told, and `waiters.freed(digits)` for each,
    /// until the connection is lost. Returns at once if the server cannot tell.
    async fn listen(&self, waiters: &Waiters) -> Result<(), LockError>;
}

pub(super) enum Taken {
    Yes,
    No { left: Duration },
}

/// A lock service over a server. Cheap to clone; clones are one.
#[derive(Clone)]
pub(super) struct Leases {
    pub(super) server: Arc<dyn Server>,
    pub(super) lease: Duration,
    secret: Option<Arc<hmac::Key>>,
    queues: Arc<Queues<LockKey>>,
    waiters: Arc<Waiters>,
    pub(super) clock: Clock,
    /// Ends the listening when the last clone goes.
    _stops: Arc<DropGuard>,
    stop: CancellationToken,
}

/// Those who wait for a key to be free.
#[derive(Default)]
pub(super) struct Waiters {
    by_key: DashMap<LockKey, KeyWaiters, FxBuildHasher>,
    has_begun: AtomicBool,
    is_subscribed: AtomicBool,
}

/// Those who wait for one key.
#[derive(Default)]
struct KeyWaiters {
    freed: Arc<Notify>,
    count: usize,
}

impl Leases {
    pub(super) fn new(server: impl Server) -> Self {
        let stop = CancellationToken::new();
        metrics::begin_leases(server.backend());
        Self {
            server: Arc::new(server),
            lease: LEASE,
            secret: None,
            queues: Arc::default(),
            waiters: Arc::default(),
            clock: Clock::system(),
            _stops: Arc::new(stop.clone().drop_guard()),
            stop,
        }
    }

    pub(super) fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = lease.clamp(SHORTEST_LEASE, LONGEST_LEASE);
        self
    }

    pub(super) fn with_secret(mut self, secret: &[u8]) -> Self {
        self.secret = Some(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret)));
        self
    }

    fn key(&self, key: &str) -> Result<LockKey, LockError> {
        LockKey::of(key, self.secret.as_deref())
    }

    /// Asks the server once, in a task of its own: whoever goes away meanwhile must not keep the
    /// key.
    async fn take(
        &self,
        name: &str,
        key: LockKey,
        turn: Turn<LockKey>,
    ) -> Result<Given, LockError> {
        let (leases, name) = (self.clone(), name.to_owned());
        let taking = tokio::spawn(async move {
            let mut owner = Owner::default();
            rand::fill(&mut owner).map_err(|_| LockError::Internal)?;
            let asked_at = leases.clock.monotonic();
            let taken = leases.server.take(key, owner, leases.lease).await;
            let asked_for = leases.clock.monotonic().saturating_sub(asked_at);
            match taken {
                Ok(Taken::Yes) if asked_for < leases.lease => {
                    Ok(Given::Yes(held::guard(&leases, &name, key, owner, asked_at, turn)))
                }
                Ok(Taken::No { left }) => Ok(Given::No { left, turn }),
                // The answer took longer than the lease, or got lost: the server may have given it.
                late => {
                    let released = leases.server.release(key, owner).await;
                    late?;
                    released?;
                    Ok(Given::No { left: Duration::ZERO, turn })
                }
            }
        });
        taking.await.unwrap_or(Err(LockError::Internal))
    }

    /// Waits for the key, however long that takes.
    async fn wait(&self, name: &str) -> Result<LockGuard, LockError> {
        let key = self.key(name)?;
        let mut turn = self.queues.enter(key).turn().await;
        let mut waiting = Waiting::new(&self.waiters, key);
        loop {
            let freed = waiting.freed.clone();
            let freed = freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            match self.take(name, key, turn).await? {
                Given::Yes(guard) => return Ok(guard),
                Given::No { left, turn: again } => {
                    turn = again;
                    self.begin_to_listen();
                    let _elapsed = timeout(waiting.pause(left), freed).await;
                }
            }
        }
    }

    /// Hears which keys are released, from the first time that somebody waits.
    fn begin_to_listen(&self) {
        if self.waiters.has_begun.swap(true, Ordering::Relaxed) {
            return;
        }
        let (server, waiters, stop) =
            (self.server.clone(), self.waiters.clone(), self.stop.clone());
        tokio::spawn(async move {
            stop.run_until_cancelled(async move {
                let listen = || server.listen(&waiters);
                let say = |error: &LockError| {
                    tracing::warn!(
                        error = %Chain(error),
                        "the lock server does not wake those who wait; until it does, they ask again"
                    );
                };
                keep_listening(&waiters.is_subscribed, listen, say).await;
            })
            .await;
        });
    }
}

/// What one question to the server came to.
enum Given {
    Yes(LockGuard),
    No { left: Duration, turn: Turn<LockKey> },
}

#[async_trait]
impl LockService for Leases {
    async fn acquire_within(&self, key: &str, limit: Duration) -> Result<LockGuard, LockError> {
        let asked = async {
            match timeout(limit, self.wait(key)).await {
                Ok(answer) => answer.map(Some),
                Err(_elapsed) => Err(LockError::Timeout { limit }),
            }
        };
        measured(self.server.backend(), &self.clock, asked).await.and_then(always)
    }

    async fn try_acquire(&self, name: &str) -> Result<Option<LockGuard>, LockError> {
        let asked = async {
            let key = self.key(name)?;
            let Some(turn) = self.queues.enter(key).try_turn() else { return Ok(None) };
            match self.take(name, key, turn).await? {
                Given::Yes(guard) => Ok(Some(guard)),
                Given::No { .. } => Ok(None),
            }
        };
        measured(self.server.backend(), &self.clock, asked).await
    }

    async fn released(&self, name: &str) -> Result<(), LockError> {
        let key = self.key(name)?;
        let mut waiting = Waiting::new(&self.waiters, key);
        loop {
            let freed = waiting.freed.clone();
            let freed = freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            let Some(left) = self.server.left(key).await? else { return Ok(()) };
            self.begin_to_listen();
            let _elapsed = timeout(waiting.pause(left), freed).await;
        }
    }

    async fn health(&self) -> Result<(), LockError> {
        let key = self.key(&format!("health {}", Uuid::new_v4()))?;
        probe(self.server.clone(), key, self.lease).await
    }
}

/// Waits for one key to be free.
struct Waiting<'a> {
    waiters: &'a Waiters,
    key: LockKey,
    freed: Arc<Notify>,
    pause: Duration,
}

impl<'a> Waiting<'a> {
    fn new(waiters: &'a Waiters, key: LockKey) -> Self {
        let mut of_key = waiters.by_key.entry(key).or_default();
        of_key.count += 1;
        let freed = of_key.freed.clone();
        drop(of_key);
        Self { waiters, key, freed, pause: FIRST_POLL_PAUSE }
    }

    /// How long to wait for a notification before the server is asked again.
    fn pause(&mut self, left: Duration) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_POLL_PAUSE);
        // Not before the lease can have ended by the server's clock.
        let ended = left + Duration::from_millis(1);
        if self.waiters.is_subscribed.load(Ordering::Relaxed) {
            POLL_PAUSE_IF_NOTIFIED.min(ended)
        } else {
            pause.min(ended)
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.waiters.by_key.remove_if_mut(&self.key, |_, waiters| {
            waiters.count -= 1;
            waiters.count == 0
        });
    }
}

// Not where SQLite is the only server.
#[cfg(any(feature = "postgres", feature = "redis"))]
impl Waiters {
    /// From now on every release is told.
    pub(super) fn listening(&self) {
        self.is_subscribed.store(true, Ordering::Relaxed);
        // What was released before was not told.
        self.by_key.iter().for_each(|waiters| waiters.freed.notify_waiters());
    }

    /// A key is free: its digits, as the server tells them. What cannot be read is not ours.
    pub(super) fn freed(&self, digits: &str) {
        let waiters = LockKey::parse(digits).and_then(|key| self.by_key.get(&key));
        if let Some(waiters) = waiters {
            waiters.freed.notify_waiters();
        }
    }
}

/// As servers count.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// For how long a key is held, from what a server says; less than nothing: it is not.
pub(super) fn duration(millis: i64) -> Option<Duration> {
    u64::try_from(millis).ok().map(Duration::from_millis)
}

impl fmt::Debug for Leases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leases")
            .field("lease", &self.lease)
            .field("keys", &self.queues.len())
            .finish_non_exhaustive()
    }
}
