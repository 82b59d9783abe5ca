//! The front with a real HTTP server, for tests and demos that cross a socket.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use axum::{
    body::{Body, to_bytes},
    extract::{
        ConnectInfo, Request,
        connect_info::{Connected, IntoMakeServiceWithConnectInfo},
    },
    response::Response,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream, ToSocketAddrs},
    sync::oneshot,
    task::JoinHandle,
};

use super::{StrictIssuer, in_memory::connection_broke};

/// More than any token request needs.
const BODY_LIMIT: usize = 1024 * 1024;

/// An issuer that serves HTTP. When it is dropped, it accepts no more
/// connections.
#[derive(Debug)]
pub struct IssuerServer {
    issuer: StrictIssuer,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl IssuerServer {
    /// The issuer behind the server.
    #[must_use]
    pub fn issuer(&self) -> &StrictIssuer {
        &self.issuer
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The issuer URL as served.
    #[must_use]
    pub fn issuer_url(&self) -> String {
        self.issuer.issuer_url()
    }

    /// The token endpoint as served.
    #[must_use]
    pub fn token_url(&self) -> String {
        self.issuer.token_url()
    }

    /// Stops listening, lets running requests finish, and returns when the last connection is
    /// closed.
    pub async fn shut_down(self) {
        drop(self.stop);
        // The task can only fail by a panic, which has shown itself by now.
        let _ = self.task.await;
    }
}

impl StrictIssuer {
    /// Serves this issuer on a free port of 127.0.0.1, with gates and latency. From now on,
    /// documents and tokens name this server.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn serve(&self) -> io::Result<IssuerServer> {
        self.serve_on(("127.0.0.1", 0)).await
    }

    /// The same at an address of your choice, such as `127.0.0.1:9400`. Documents and tokens name
    /// it as an IP address and a port, so give one that your application can reach.
    ///
    /// # Errors
    /// Nobody can listen there: the port is taken, or the address is not this machine's.
    pub async fn serve_on(&self, address: impl ToSocketAddrs) -> io::Result<IssuerServer> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        self.bind_to(&format!("http://{address}"));
        let (stop, stopped) = oneshot::channel::<()>();
        let serving =
            axum::serve(Breakable(listener), self.make_service()).with_graceful_shutdown(async {
                let _ = stopped.await;
            });
        let task = tokio::spawn(async move {
            // axum's serve does not end with an error.
            let _ = serving.await;
        });
        Ok(IssuerServer { issuer: self.clone(), address, stop, task })
    }

    fn make_service(&self) -> IntoMakeServiceWithConnectInfo<axum::Router, BreakSwitch> {
        let issuer = self.clone();
        let service = tower::service_fn(move |request| {
            let issuer = issuer.clone();
            async move { Ok::<_, Infallible>(issuer.answer_http(request).await) }
        });
        axum::Router::new().fallback_service(service).into_make_service_with_connect_info()
    }

    async fn answer_http(&self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let break_switch =
            parts.extensions.get::<ConnectInfo<BreakSwitch>>().map(|info| info.0.clone());
        let exchanged = match to_bytes(body, BODY_LIMIT).await {
            Ok(body) => self.exchange(Request::from_parts(parts, body)).await,
            Err(error) => Err(io::Error::other(error)),
        };
        exchanged.map_or_else(
            |_| {
                if let Some(switch) = break_switch {
                    switch.0.store(true, Ordering::Release);
                }
                // It cannot be written any more.
                Response::default()
            },
            |response| response.map(Body::from),
        )
    }
}

/// Breaks a connection from within a handler: an axum service has no error to end one with.
#[derive(Clone, Debug, Default)]
struct BreakSwitch(Arc<AtomicBool>);

struct Breakable(TcpListener);

impl Listener for Breakable {
    type Io = BreakableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (BreakableStream, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        (BreakableStream { stream, switch: BreakSwitch::default() }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, Breakable>> for BreakSwitch {
    fn connect_info(stream: IncomingStream<'_, Breakable>) -> Self {
        stream.io().switch.clone()
    }
}

/// A connection that writes nothing once its switch is thrown.
struct BreakableStream {
    stream: TcpStream,
    switch: BreakSwitch,
}

impl AsyncRead for BreakableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for BreakableStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.switch.0.load(Ordering::Acquire) {
            return Poll::Ready(Err(connection_broke()));
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
