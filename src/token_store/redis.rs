//! Token records in Redis.
//!
//! | key | type | holds |
//! |---|---|---|
//! | `ttr:t:{<key>}` | hash | a record: `g` generation, `s` state, `n` nonce, `r` its text |
//! | `ttr:n:{<name>}` | sorted set | the keys of the records that a name finds, by when each ends (ms since 1970) |
//! | `ttr:changes` | channel | what happens to records |
//!
//! Keys and names are 32 hexadecimal digits. `load`, `create`, `swap` and `put_newer` are one
//! script each, which Redis runs in one piece; `end` is a load and a swap, again if another process
//! wrote in between. A name lies in another slot of a cluster: it is written before a new record,
//! and after new tokens. Redis drops a record a minute after the time up to which it must be kept,
//! by its own clock.

use std::time::SystemTime;

use ::redis::{FromRedisValue, RedisError, cmd};
use async_trait::async_trait;

use super::{
    Loaded, NameKey, Put, RecordKey, RecordListener, RecordVersion, StoreError, Swapped,
    TokenRecord, TokenStore, notification,
    text::{drop_at, from_millis},
};
use crate::{
    error::Chain,
    hex,
    redis::{Redis, Repeat, eval},
};

/// The most records of one name: those that end first go first.
const MOST_OF_A_NAME: isize = 1_000;

/// A [`TokenStore`] in [`Redis`], for any number of processes. [`Redis::tokens`] makes it.
///
/// Redis keeps what it has said to have kept, unless it fails over to a replica or is restarted
/// without its last writes: see *Running more than one instance* in the docs.
#[derive(Debug, Clone)]
pub struct RedisTokens {
    redis: Redis,
}

/// Writes `ARGV[1..5]` (generation, state, nonce, text, end in ms) over `KEYS[1]`, and publishes
/// `ARGV[7]` to the channel `ARGV[6]`, unless it is empty. What is stored counts, told or not.
///
/// A script that runs a second time, because its answer got lost, finds what it has written, and
/// gives the same answer.
const WRITE: &str = r"
local function write()
    redis.call('HSET', KEYS[1], 'g', ARGV[1], 's', ARGV[2], 'n', ARGV[3], 'r', ARGV[4])
    redis.call('PEXPIREAT', KEYS[1], ARGV[5])
    if ARGV[7] ~= '' then redis.pcall('PUBLISH', ARGV[6], ARGV[7]) end
end
";

const LOAD: &str = r"
local now = redis.call('TIME')
return { now[1], now[2], redis.call('HGET', KEYS[1], 'r') }
";

const CREATE: &str = r"
local stored = redis.call('HGET', KEYS[1], 'r')
if stored then return stored == ARGV[4] and 1 or 0 end
write()
return 1
";

/// `ARGV[8..10]`: the expected generation, state and nonce.
const SWAP: &str = r"
local stored = redis.call('HMGET', KEYS[1], 'g', 's', 'n', 'r')
if stored[4] == ARGV[4] then return 1 end
if stored[1] ~= ARGV[8] or stored[2] ~= ARGV[9] or stored[3] ~= ARGV[10] then return 0 end
write()
return 1
";

/// Gives 1 if it has written, else 0, and the text of what is stored.
const PUT_NEWER: &str = r"
local stored = redis.call('HMGET', KEYS[1], 'g', 's', 'n', 'r')
if not stored[1] then return { 0, false } end
local older = tonumber(stored[1]) < tonumber(ARGV[1])
local itself = stored[1] == ARGV[1] and stored[3] == ARGV[3]
if stored[2] == 'ended' or not (older or itself) then return { 0, stored[4] } end
write()
return { 1, false }
";

/// Notes the record `ARGV[1]` until `ARGV[2]` (ms since 1970) under a name, which finds the
/// `ARGV[3]` of its records that end last, and this one in any case. The list lives as long as its
/// last record.
const NOTE: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -ARGV[3])
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
local wanted = ARGV[2] - now
if redis.call('PTTL', KEYS[1]) < wanted then redis.call('PEXPIREAT', KEYS[1], ARGV[2]) end
";

impl RedisTokens {
    pub(crate) fn new(redis: Redis) -> Self {
        Self { redis }
    }

    fn record_key(&self, key: RecordKey) -> String {
        format!("{}:t:{{{}}}", self.redis.prefix(), hex::digits(key.to_bytes()))
    }

    fn name_key(&self, name: NameKey) -> String {
        format!("{}:n:{{{}}}", self.redis.prefix(), hex::digits(name.to_bytes()))
    }

    fn channel(&self) -> String {
        format!("{}:changes", self.redis.prefix())
    }

    /// Runs a script that may write `new`, and then publishes `message`.
    async fn write<T: FromRedisValue + Send + 'static>(
        &self,
        script: &str,
        key: RecordKey,
        new: &TokenRecord,
        message: Option<String>,
        expected: Option<RecordVersion>,
    ) -> Result<T, StoreError> {
        let version = new.version();
        let mut eval = eval(&format!("{WRITE}{script}"), &self.record_key(key));
        eval.arg(version.generation)
            .arg(version.state.name())
            .arg(version.nonce.to_string())
            .arg(new.to_text())
            .arg(drop_at(new.keep_until()))
            .arg(self.channel())
            .arg(message.unwrap_or_default());
        if let Some(expected) = expected {
            eval.arg(expected.generation).arg(expected.state.name());
            eval.arg(expected.nonce.to_string());
        }
        self.redis.ask(&eval, Repeat::Once).await.map_err(failed)
    }

    /// Notes under which names a record is found.
    async fn note(
        &self,
        names: &[NameKey],
        key: RecordKey,
        until: SystemTime,
    ) -> Result<(), StoreError> {
        for name in names {
            let mut note = eval(NOTE, &self.name_key(*name));
            note.arg(hex::digits(key.to_bytes())).arg(drop_at(until)).arg(MOST_OF_A_NAME);
            self.redis.ask::<()>(&note, Repeat::Once).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Takes back what was noted for a record that was not written.
    async fn forget(&self, names: &[NameKey], key: RecordKey) -> Result<(), StoreError> {
        for name in names {
            let mut remove = cmd("ZREM");
            remove.arg(self.name_key(*name)).arg(hex::digits(key.to_bytes()));
            self.redis.ask::<()>(&remove, Repeat::Once).await.map_err(failed)?;
        }
        Ok(())
    }
}

#[async_trait]
impl TokenStore for RedisTokens {
    fn compares_and_swaps(&self) -> bool {
        true
    }

    async fn load(&self, key: RecordKey) -> Result<Loaded, StoreError> {
        let load = eval(LOAD, &self.record_key(key));
        let (seconds, micros, text): (u64, u64, Option<String>) =
            self.redis.ask(&load, Repeat::Once).await.map_err(failed)?;
        let record = text.map(|text| TokenRecord::from_text(&text)).transpose()?;
        Ok(Loaded { record, now: from_millis(seconds * 1_000 + micros / 1_000) })
    }

    async fn create(
        &self,
        key: RecordKey,
        record: &TokenRecord,
        names: &[NameKey],
    ) -> Result<(), StoreError> {
        self.note(names, key, record.keep_until()).await?;
        if self.write(CREATE, key, record, None, None).await? {
            return Ok(());
        }
        self.forget(names, key).await?;
        Err(StoreError::backend("there is a record already"))
    }

    async fn swap(
        &self,
        key: RecordKey,
        expected: RecordVersion,
        new: &TokenRecord,
    ) -> Result<Swapped, StoreError> {
        let swapped: bool =
            self.write(SWAP, key, new, notification::encode(key, new), Some(expected)).await?;
        Ok(if swapped { Swapped::Done } else { Swapped::Changed })
    }

    async fn put_newer(
        &self,
        key: RecordKey,
        new: &TokenRecord,
        names: &[NameKey],
    ) -> Result<Put, StoreError> {
        let (stored, before): (bool, Option<String>) =
            self.write(PUT_NEWER, key, new, notification::encode(key, new), None).await?;
        match before {
            _ if stored => {
                // The tokens are what counts. The names that the record had before find it still.
                if let Err(error) = self.note(names, key, new.keep_until()).await {
                    tracing::warn!(
                        error = %Chain(&error),
                        "a logout by the provider may not find a login"
                    );
                }
                Ok(Put::Stored)
            }
            None => Ok(Put::Absent),
            Some(before) => Ok(TokenRecord::from_text(&before)?.judge(new)),
        }
    }

    async fn find(&self, name: NameKey) -> Result<Vec<RecordKey>, StoreError> {
        let mut range = cmd("ZRANGE");
        range.arg(self.name_key(name)).arg(0).arg(-1);
        let keys: Vec<String> = self.redis.ask(&range, Repeat::Once).await.map_err(failed)?;
        let keys = keys.iter().filter_map(|key| hex::parse(key));
        Ok(keys.map(RecordKey::from_bytes).collect())
    }

    async fn listen(&self, listener: &dyn RecordListener) -> Result<(), StoreError> {
        let pass_on = |message: &str| notification::dispatch(listener, message);
        let lost =
            self.redis.receive_until_lost(&self.channel(), || listener.listening(), pass_on).await;
        Err(StoreError::backend(lost))
    }
}

fn failed(error: RedisError) -> StoreError {
    StoreError::backend(error)
}
