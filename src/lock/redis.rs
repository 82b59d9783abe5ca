//! Locks in Redis: a random owner with a time to live, and scripts that compare it before they
//! write.
//!
//! | key | holds |
//! |---|---|
//! | `ttr:l:{<key>}` | the owner, until its lease ends |
//! | `ttr:unlocked` | channel: keys that are free |

use std::time::Duration;

use ::redis::{RedisError, cmd};
use async_trait::async_trait;

use super::{
    LockError, LockGuard, LockKey, LockService,
    leases::{Leases, Owner, Server, Taken, Waiters, duration, millis},
};
use crate::redis::{Redis, Repeat, eval};

/// A [`LockService`] in [`Redis`], for any number of processes. Cheap to clone.
///
/// A Redis that fails over to a replica may not know of a lease taken just before; one that
/// restarts empty knows of none. The key may have two holders then, until Redis answers the first
/// one's next renewal, or its lease ends.
#[derive(Debug, Clone)]
pub struct RedisLock(Leases);

struct AtRedis(Redis);

/// Gives nothing if the owner has it now, else how long it is held, in milliseconds. A key without
/// an end, which is not from here, gets one. A script that runs a second time, because its answer
/// got lost, finds its own owner.
const TAKE: &str = r"
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then
    local left = redis.call('PTTL', KEYS[1])
    if left >= 0 then return left end
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
    return tonumber(ARGV[2])
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false
";

/// What `PTTL` says of a key without an end, and for how long such a key counts as held.
const WITHOUT_END: i64 = -1;
const WITHOUT_END_FOR: Duration = Duration::from_secs(1);

const RENEW: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
";

const RELEASE: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.pcall('PUBLISH', ARGV[2], ARGV[3])
return 1
";

impl RedisLock {
    /// Makes a service whose leases last 10 s unless they are renewed.
    #[must_use]
    pub fn new(redis: &Redis) -> Self {
        Self(Leases::new(AtRedis(redis.clone())))
    }

    /// Sets how long a lease lasts unless it is renewed: how long a key stays taken after its holder
    /// has died. A shorter one than 300 ms counts as 300 ms, a longer one than 24 h as 24 h.
    #[must_use]
    pub fn lease(self, lease: Duration) -> Self {
        Self(self.0.with_lease(lease))
    }

    /// Hashes keys by HMAC-SHA-256 with this secret instead of by SHA-256: someone who can read
    /// Redis cannot try out guesses. All processes need the same secret, or they do not exclude
    /// each other.
    #[must_use]
    pub fn hash_keys_with(self, secret: &[u8]) -> Self {
        Self(self.0.with_secret(secret))
    }
}

impl AtRedis {
    fn name(&self, key: LockKey) -> String {
        format!("{}:l:{{{}}}", self.0.prefix(), key.digits())
    }

    fn channel(&self) -> String {
        format!("{}:unlocked", self.0.prefix())
    }
}

#[async_trait]
impl Server for AtRedis {
    fn backend(&self) -> &'static str {
        "redis"
    }

    async fn take(&self, key: LockKey, owner: Owner, lease: Duration) -> Result<Taken, LockError> {
        let mut take = eval(TAKE, &self.name(key));
        take.arg(&owner).arg(millis(lease));
        let left: Option<i64> = self.0.ask(&take, Repeat::Once).await.map_err(failed)?;
        Ok(match left {
            None => Taken::Yes,
            Some(left) => Taken::No { left: duration(left).unwrap_or_default() },
        })
    }

    async fn renew(&self, key: LockKey, owner: Owner, lease: Duration) -> Result<bool, LockError> {
        let mut renew = eval(RENEW, &self.name(key));
        renew.arg(&owner).arg(millis(lease));
        self.0.ask(&renew, Repeat::Once).await.map_err(failed)
    }

    async fn release(&self, key: LockKey, owner: Owner) -> Result<bool, LockError> {
        let mut release = eval(RELEASE, &self.name(key));
        release.arg(&owner).arg(self.channel()).arg(key.digits());
        self.0.ask(&release, Repeat::Never).await.map_err(failed)
    }

    async fn left(&self, key: LockKey) -> Result<Option<Duration>, LockError> {
        let mut left = cmd("PTTL");
        left.arg(self.name(key));
        Ok(match self.0.ask::<i64>(&left, Repeat::Once).await.map_err(failed)? {
            WITHOUT_END => Some(WITHOUT_END_FOR),
            left => duration(left),
        })
    }

    async fn listen(&self, waiters: &Waiters) -> Result<(), LockError> {
        let lost = self
            .0
            .receive_until_lost(
                &self.channel(),
                || waiters.listening(),
                |digits| waiters.freed(digits),
            )
            .await;
        Err(LockError::unavailable(lost))
    }
}

#[async_trait]
impl LockService for RedisLock {
    async fn acquire_within(&self, key: &str, limit: Duration) -> Result<LockGuard, LockError> {
        self.0.acquire_within(key, limit).await
    }

    async fn try_acquire(&self, key: &str) -> Result<Option<LockGuard>, LockError> {
        self.0.try_acquire(key).await
    }

    async fn released(&self, key: &str) -> Result<(), LockError> {
        self.0.released(key).await
    }

    async fn health(&self) -> Result<(), LockError> {
        self.0.health().await
    }
}

fn failed(error: RedisError) -> LockError {
    LockError::unavailable(error)
}
