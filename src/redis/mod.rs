//! The connection to Redis that the token store, the sessions and the locks share.
//!
//! All commands go over one connection, which many tasks use at once. It is made anew when it
//! breaks, when the server turns out to be no longer the one that takes writes (after a failover),
//! and when an answer does not come in time. Behind Sentinel the new one is to whichever server is
//! the master then.

mod link;
mod sessions;
mod subscribe;
mod tls;

use std::{fmt, sync::Arc, time::Duration};

use ::redis::{
    AsyncConnectionConfig, Client, Cmd, IntoConnectionInfo, RedisError, RedisResult,
    cluster::{ClusterClient, ClusterClientBuilder},
    sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType},
};
use tokio::sync::Mutex;

pub(crate) use self::link::{Repeat, eval};
pub use self::sessions::RedisSessions;

use self::link::Link;
use crate::{clock::Clock, key_locks::detached};

/// One answer, or a connection to one server, takes no longer than this.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The same for a connection to one of several: one that is silent leaves time for the others.
const NODE_TIMEOUT: Duration = Duration::from_millis(500);
/// Finding the way to several servers takes no longer than this.
const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(5);
/// After a failed connection, nobody tries again for this long: many requests may wait for it.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);
const PREFIX: &str = "ttr";

/// Redis (6.2 or later) or Valkey: a single server, a cluster, or a master that sentinels watch.
/// Cheap to clone; clones share one connection.
///
/// URLs are those of the `redis` crate: `redis://user:password@host:6379/0`, `rediss://` for TLS.
/// Certificates are trusted as the system does, or those in the file that the environment variable
/// `SSL_CERT_FILE` names. TLS uses rustls with the process's default [`CryptoProvider`]; where there
/// is none, `connect` installs that of aws-lc-rs.
///
/// [`CryptoProvider`]: https://docs.rs/rustls/0.23/rustls/crypto/struct.CryptoProvider.html
///
/// ```no_run
/// use tower_token_refresh::{ClientAuth, Redis, TokenEndpoint, TokenRefresher};
///
/// # async fn build() -> Result<(), Box<dyn std::error::Error>> {
/// let redis = Redis::connect("redis://localhost").await?;
/// let endpoint = TokenEndpoint::new("https://id.example/token", ClientAuth::basic("web", "secret"));
/// let refresher = TokenRefresher::builder(endpoint, redis.sessions()).token_store(redis.tokens()).build()?;
/// # let _ = refresher;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Redis {
    inner: Arc<Inner>,
    prefix: Arc<str>,
}

struct Inner {
    servers: Servers,
    current: Mutex<Current>,
    clock: Clock,
}

/// Where to connect.
enum Servers {
    Single(Box<Client>),
    Cluster { client: Box<ClusterClient>, nodes: Vec<Client> },
    Sentinel(Box<Sentinels>),
}

/// One to send commands and one to listen: neither waits for the other.
struct Sentinels {
    commands: Mutex<SentinelClient>,
    listening: Mutex<SentinelClient>,
}

#[derive(Default)]
struct Current {
    link: Option<Link>,
    /// Counts the connections, so that a late failure of an old one does not break the new one.
    number: u64,
    /// When the last attempt failed, by the monotonic clock.
    failed_at: Option<Duration>,
}

impl Redis {
    /// Connects to a single server.
    ///
    /// # Errors
    /// The URL cannot be parsed, or the server cannot be reached within 2 s (a cluster or
    /// sentinels: 5 s). If the connection fails later, that call returns the error and the next one
    /// reconnects.
    pub async fn connect(url: &str) -> Result<Self, RedisConnectError> {
        tls::provide_cryptography(&[url]);
        Self::over(Servers::Single(Box::new(Client::open(url)?))).await
    }

    /// Connects to a cluster, of which `urls` names one node or more.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_cluster(urls: &[&str]) -> Result<Self, RedisConnectError> {
        tls::provide_cryptography(urls);
        let client = ClusterClientBuilder::new(urls.iter().copied())
            .connection_timeout(NODE_TIMEOUT)
            .response_timeout(RESPONSE_TIMEOUT)
            .retries(3)
            .build()?;
        let nodes = urls.iter().map(|url| Client::open(*url)).collect::<RedisResult<_>>()?;
        Self::over(Servers::Cluster { client: Box::new(client), nodes }).await
    }

    /// Connects to the master that sentinels know by the name `master`. The sentinels are at
    /// `urls`. From the URL `server` only user, password, database and TLS are used, for the
    /// connection to the master.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), or no sentinel knows the name.
    pub async fn connect_sentinel(
        urls: &[&str],
        master: &str,
        server: &str,
    ) -> Result<Self, RedisConnectError> {
        tls::provide_cryptography(urls);
        tls::provide_cryptography(&[server]);
        let info = server.into_connection_info()?;
        let mut node = SentinelNodeConnectionInfo::default()
            .set_redis_connection_info(info.redis_settings().clone());
        if server.starts_with("rediss:") {
            node = node.set_tls_mode(::redis::TlsMode::Secure);
        }
        let client = || {
            let (urls, node) = (urls.to_vec(), Some(node.clone()));
            SentinelClient::build(urls, master, node, SentinelServerType::Master)
        };
        let (commands, listening) = (Mutex::new(client()?), Mutex::new(client()?));
        Self::over(Servers::Sentinel(Box::new(Sentinels { commands, listening }))).await
    }

    /// Puts `prefix` before every key and channel but those of sessions; `ttr` by default. Two
    /// applications that share a Redis need one each.
    #[must_use]
    pub fn with_prefix(mut self, prefix: &str) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// A token store here, for any number of processes.
    #[must_use]
    pub fn tokens(&self) -> crate::token_store::RedisTokens {
        crate::token_store::RedisTokens::new(self.clone())
    }

    /// A session store here, in the format of `tower-sessions-redis-store`: existing sessions stay
    /// valid.
    #[must_use]
    pub fn sessions(&self) -> RedisSessions {
        RedisSessions::new(self.clone())
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    async fn over(servers: Servers) -> Result<Self, RedisConnectError> {
        let inner = Inner { servers, current: Mutex::default(), clock: Clock::system() };
        let redis = Self { inner: Arc::new(inner), prefix: PREFIX.into() };
        redis.inner.link().await?;
        Ok(redis)
    }

    /// Sends one command, and a second time over a new connection if the first one broke and
    /// `repeat` says that this does no harm.
    ///
    /// In a task of its own: a caller that goes away must not leave a dead connection to those who
    /// come after it.
    pub(crate) async fn ask<T: ::redis::FromRedisValue + Send + 'static>(
        &self,
        command: &Cmd,
        repeat: Repeat,
    ) -> RedisResult<T> {
        let (redis, command) = (self.clone(), command.clone());
        let asking = detached(async move { redis.send(&command, repeat).await });
        asking.await.unwrap_or_else(|_shut_down| {
            Err(RedisError::from((::redis::ErrorKind::Io, "the runtime is shutting down")))
        })
    }

    async fn send<T: ::redis::FromRedisValue>(
        &self,
        command: &Cmd,
        repeat: Repeat,
    ) -> RedisResult<T> {
        let (number, mut link) = self.inner.link().await?;
        let error = match link.send(command).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if link.heals_itself() || !is_broken(&error) {
            return Err(error);
        }
        self.inner.discard(number).await;
        if repeat == Repeat::Never || error.is_timeout() {
            return Err(error);
        }
        let (number, mut link) = self.inner.link().await?;
        let answer = link.send(command).await;
        if answer.as_ref().is_err_and(is_broken) {
            self.inner.discard(number).await;
        }
        answer
    }
}

impl Inner {
    /// The connection, and its number. Made where there is none.
    async fn link(&self) -> RedisResult<(u64, Link)> {
        let mut current = self.current.lock().await;
        if let Some(link) = &current.link {
            return Ok((current.number, link.clone()));
        }
        let now = self.clock.monotonic();
        if current.failed_at.is_some_and(|failed| now.saturating_sub(failed) < RECONNECT_PAUSE) {
            return Err(RedisError::from((
                ::redis::ErrorKind::Io,
                "Redis could not be reached a moment ago",
            )));
        }
        match in_time(self.limit(), self.connect()).await {
            Ok(link) => {
                current.link = Some(link.clone());
                current.number += 1;
                current.failed_at = None;
                Ok((current.number, link))
            }
            Err(error) => {
                current.failed_at = Some(self.clock.monotonic());
                Err(error)
            }
        }
    }

    async fn connect(&self) -> RedisResult<Link> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(RESPONSE_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        match &self.servers {
            Servers::Single(client) => {
                client.get_multiplexed_async_connection_with_config(&config).await.map(Link::Single)
            }
            Servers::Sentinel(sentinels) => {
                let mut client = sentinels.commands.lock().await;
                client.get_async_connection_with_config(&config).await.map(Link::Single)
            }
            Servers::Cluster { client, .. } => {
                client.get_async_connection().await.map(|link| Link::Cluster(Box::new(link)))
            }
        }
    }

    /// How long a connection may take.
    fn limit(&self) -> Duration {
        match &self.servers {
            Servers::Single(_) => RESPONSE_TIMEOUT,
            Servers::Cluster { .. } | Servers::Sentinel(_) => DISCOVERY_TIMEOUT,
        }
    }

    async fn discard(&self, number: u64) {
        let mut current = self.current.lock().await;
        if current.number == number {
            current.link = None;
        }
    }
}

/// Whether the connection leads nowhere any more, or to a server that takes no writes.
fn is_broken(error: &RedisError) -> bool {
    use ::redis::{ErrorKind, ServerErrorKind};
    error.is_io_error()
        || error.is_unrecoverable_error()
        // Redis 6 wraps it, where a script was refused.
        || error.detail().is_some_and(|detail| detail.contains("READONLY"))
        || matches!(
            error.kind(),
            ErrorKind::Server(
                ServerErrorKind::ReadOnly
                    | ServerErrorKind::MasterDown
                    | ServerErrorKind::BusyLoading
            )
        )
}

async fn in_time<T>(limit: Duration, work: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_elapsed) => {
            Err(RedisError::from((::redis::ErrorKind::Io, "Redis did not answer in time")))
        }
    }
}

/// There is no connection to Redis.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot connect to Redis")]
pub struct RedisConnectError(#[source] Arc<RedisError>);

impl From<RedisError> for RedisConnectError {
    fn from(error: RedisError) -> Self {
        Self(Arc::new(error))
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the servers: their URLs hold passwords.
        f.debug_struct("Redis").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
