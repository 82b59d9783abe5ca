//! A server for an axum [`Router`] that no slow, greedy or silent client can exhaust (feature
//! `serve`).
//!
//! [`axum::serve()`] has no limits: whoever opens connections and sends half a head, or nothing,
//! holds them for ever. [`Server`] serves the same router, over TCP and HTTP/1.1, with limits:
//!
//! | what | default | and then |
//! |---|---|---|
//! | connections that the kernel keeps until they are accepted | 4096 | it refuses more |
//! | [connections at once](Server::max_connections) | 10,000 | the next ones wait in the kernel |
//! | [a request's head](Server::header_timeout), from its first byte; the first one from the connection's begin; one that came in a piece with the request before has the time of an idle connection | 10 s | the connection is closed |
//! | its size, and the number of its header fields | 32 KiB (twice that if it comes in one piece), 100 | 431, and the connection is closed |
//! | [a request's body](Server::body_timeout), from the first time that the handler waits for it | 30 s | reading it fails with [`BodyTimeout`], and the connection is closed |
//! | [a client that takes no more of its answer](Server::write_timeout) | 60 s | the connection is closed |
//! | [no request on a connection](Server::idle_timeout) | 75 s | it is closed |
//! | [requests under way when it has to stop](Server::drain) | 10 s | they are cut off |
//!
//! The kernel has the last word about the first row: Linux keeps no more than
//! `net.core.somaxconn`, 4096 by default. tokio's and axum's own listeners ask for 1024, the
//! standard library's for 128; in a burst, the clients beyond that wait a second or more.
//!
//! A client that keeps its connection sends its next request while an idle server closes it, now
//! and then, and gets an error. So the idle limit is longer than the 60 s of the usual proxies
//! (nginx, AWS ALB): they close first. If yours waits longer, set a longer one.
//!
//! Connections send without delay (`TCP_NODELAY`), and the kernel asks a silent client after a
//! minute whether it is still there (`SO_KEEPALIVE`), so that a WebSocket whose client has lost
//! its network ends within some minutes. A handler finds its client's address in
//! [`ConnectInfo<SocketAddr>`](axum::extract::ConnectInfo). WebSockets and other upgrades work. If
//! a handler panics, its connection is closed, and no other one.
//!
//! Deliberately not here: TLS and HTTP/2, which a proxy in front speaks with browsers, and a limit
//! for how long an answer takes to compute, or as a whole: downloads and event streams are long.
//! Set such a limit where it belongs, as with tower-http's `timeout`.
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use tower_token_refresh::serve::Server;
//!
//! # #[tokio::main]
//! # async fn main() -> std::io::Result<()> {
//! let app = Router::new().route("/", get(async || "hello"));
//! let stop = async {
//!     // Without signals it serves until it is killed.
//!     if tokio::signal::ctrl_c().await.is_err() {
//!         std::future::pending::<()>().await;
//!     }
//! };
//! Server::bind("127.0.0.1:8080").await?.serve(app, stop).await;
//! # Ok(())
//! # }
//! ```

mod accept;
mod body;
mod connection;
mod head_timer;
mod socket;

use std::{future::Future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    net::{TcpListener, ToSocketAddrs},
    sync::{Semaphore, watch},
    task::{JoinError, JoinSet},
    time::timeout,
};

pub use self::body::BodyTimeout;
use self::connection::Limits;

/// Listens, and then [serves](Self::serve) an axum [`Router`] with limits. The [module](self) has
/// all of them in a table.
///
/// ```
/// use std::time::Duration;
/// use tower_token_refresh::serve::Server;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let server = Server::bind("127.0.0.1:0")
///     .await?
///     .max_connections(2_000)
///     .body_timeout(Duration::from_secs(300)) // uploads
///     .drain(Duration::from_secs(30));
/// assert_ne!(server.local_addr()?.port(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "it serves nothing before `serve`"]
pub struct Server {
    listener: TcpListener,
    limits: Limits,
    max_connections: usize,
    drain: Duration,
}

impl Server {
    /// Listens at this address, with a backlog of 4096. Of several addresses, as of a host name, it
    /// takes the first that works. Port 0 is any free port.
    ///
    /// On Unix a new process can take a port over whose old connections are still ending
    /// (`SO_REUSEADDR`).
    ///
    /// # Errors
    /// The host name cannot be resolved, or none of the addresses can be listened at.
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        accept::bind(address).await.map(Self::from_listener)
    }

    /// Serves on a listener of your own, which keeps its backlog. One of the standard library, as
    /// from systemd, becomes such a listener by [`TcpListener::from_std`].
    pub fn from_listener(listener: TcpListener) -> Self {
        Self {
            listener,
            limits: Limits::default(),
            max_connections: 10_000,
            drain: Duration::from_secs(10),
        }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The operating system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Sets how many connections there are at once, 10,000 by default. 0 counts as 1. While there
    /// are so many none is accepted, and none is dropped: the next ones wait in the kernel.
    ///
    /// An upgraded connection, such as a WebSocket, counts until its handler drops it.
    ///
    /// Each connection is an open file: see that `ulimit -n` is larger, with room for those that
    /// your application opens itself. While there is none left, it accepts again after a second.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// Sets how long the head of a request may take from its first byte, 10 s by default. The first
    /// one on a connection counts from the connection's begin.
    pub fn header_timeout(mut self, limit: Duration) -> Self {
        self.limits.header = limit;
        self
    }

    /// Sets how long a connection stays open between two requests, 75 s by default: from the end of
    /// an answer to the first byte of the next request.
    pub fn idle_timeout(mut self, limit: Duration) -> Self {
        self.limits.idle = limit;
        self
    }

    /// Sets how long a request's body may take, 30 s by default. `None` is for ever, as for large
    /// uploads.
    ///
    /// It counts from the first time that the handler waits for the body, to the body's last byte.
    /// A handler may be held up before, by a refresh for instance, and many clients send no byte
    /// before they are asked to (`Expect: 100-continue`); so their time does not begin earlier.
    /// After it, reading fails with [`BodyTimeout`]; axum's extractors answer 400 then. The
    /// connection is closed after the answer. A handler that reads no body waits for none.
    pub fn body_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.limits.body = limit.into();
        self
    }

    /// Sets how long a client may take nothing of what is there for it, 60 s by default: of an
    /// answer, or of an upgraded connection such as a WebSocket. Each byte that it takes begins the
    /// time anew, and a connection for which there is nothing to send has none. `None` is for ever.
    ///
    /// After it the connection is closed, and the rest of the answer is dropped.
    pub fn write_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.limits.write = limit.into();
        self
    }

    /// Sets how long the requests under way may still take once it has to stop, 10 s by default.
    /// Zero cuts them off at once.
    pub fn drain(mut self, limit: Duration) -> Self {
        self.drain = limit;
        self
    }

    /// Serves until `stop` resolves, and returns when all connections have ended.
    ///
    /// After `stop`, no connection is accepted and idle ones are closed. A request that has begun
    /// is answered, and then its connection is closed, too. What takes longer than
    /// [`drain`](Self::drain) is cut off, with a line in the log.
    ///
    /// Upgraded connections are their handlers' business: nothing here waits for them or closes
    /// them. Tell those handlers yourself to stop.
    ///
    /// It does not fail: what one client does, or a lack of open files, ends no other connection,
    /// and stands in the log.
    ///
    /// # Cancel safety
    /// Dropping the future stops serving: the port is free at once, and each connection is cut off
    /// where its handler waits next.
    pub async fn serve(self, router: Router, stop: impl Future<Output = ()>) {
        let Self { listener, limits, max_connections, drain } = self;
        // So that the routes are put together once, and not for each request.
        let router = router.with_state::<()>(());
        let permits = Arc::new(Semaphore::new(max_connections));
        let (running, stopping) = watch::channel(());
        let mut connections = JoinSet::new();
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                // Before accepting: it cannot starve that, as what is not accepted does not end.
                Some(ended) = connections.join_next() => note(ended),
                (socket, peer) = accept::next(&listener, &permits, limits.write) => {
                    let (router, stopping) = (router.clone(), stopping.clone());
                    connections.spawn(connection::serve(socket, peer, router, limits, stopping));
                }
            }
        }
        drop((listener, running));
        let drained = async {
            while let Some(ended) = connections.join_next().await {
                note(ended);
            }
        };
        if timeout(drain, drained).await.is_err() {
            tracing::warn!(
                connections = connections.len(),
                after = ?drain,
                "requests that took too long were cut off"
            );
        }
    }
}

/// The panic's message stays with the panic hook: it may hold what no log should.
fn note(ended: Result<(), JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        tracing::error!("a handler panicked, and its connection was closed");
    }
}
