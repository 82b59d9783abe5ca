//! Sessions in Redis, as `tower-sessions-redis-store` keeps them: MessagePack under the session's
//! id, which Redis drops when the session ends.

use ::redis::{RedisError, Value, cmd};
use async_trait::async_trait;
use tower_sessions::{
    SessionStore,
    session::{Id, Record},
    session_store::{Error, Result},
};

use super::{Redis, Repeat};

/// A session store in Redis. [`Redis::sessions`] makes it.
///
/// Saving a deleted session does nothing and still returns `Ok`.
#[derive(Debug, Clone)]
pub struct RedisSessions {
    redis: Redis,
}

#[derive(Clone, Copy)]
enum Where {
    Nothing,
    Something,
}

impl RedisSessions {
    pub(super) fn new(redis: Redis) -> Self {
        Self { redis }
    }

    /// Whether it was written.
    async fn write(&self, record: &Record, over: Where) -> Result<bool> {
        let bytes = rmp_serde::to_vec(record).map_err(|error| Error::Encode(error.to_string()))?;
        let mut set = cmd("SET");
        set.arg(record.id.to_string()).arg(bytes);
        set.arg("EXAT").arg(record.expiry_date.unix_timestamp());
        set.arg(match over {
            Where::Nothing => "NX",
            Where::Something => "XX",
        });
        // A `create` that is sent again would find its own record, and take another id.
        let repeat = match over {
            Where::Nothing => Repeat::Never,
            Where::Something => Repeat::Once,
        };
        let answer: Value = self.redis.ask(&set, repeat).await.map_err(failed)?;
        Ok(answer != Value::Nil)
    }
}

#[async_trait]
impl SessionStore for RedisSessions {
    async fn create(&self, record: &mut Record) -> Result<()> {
        while !self.write(record, Where::Nothing).await? {
            record.id = Id::default();
        }
        Ok(())
    }

    async fn save(&self, record: &Record) -> Result<()> {
        self.write(record, Where::Something).await.map(|_| ())
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        let mut get = cmd("GET");
        get.arg(id.to_string());
        let bytes: Option<Vec<u8>> = self.redis.ask(&get, Repeat::Once).await.map_err(failed)?;
        let record = bytes.map(|bytes| rmp_serde::from_slice(&bytes)).transpose();
        record.map_err(|error| Error::Decode(error.to_string()))
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        let mut del = cmd("DEL");
        del.arg(id.to_string());
        self.redis.ask(&del, Repeat::Once).await.map_err(failed)
    }
}

fn failed(error: RedisError) -> Error {
    Error::Backend(error.to_string())
}
