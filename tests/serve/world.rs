//! A server on loopback, and clients that write what they like.

use std::{io, net::SocketAddr, time::Duration};

use axum::Router;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
};
use tower_token_refresh::serve::Server;

/// A limit that a test waits for.
pub(crate) const SHORT: Duration = Duration::from_millis(50);
/// A limit that no test reaches.
pub(crate) const LONG: Duration = Duration::from_secs(600);

pub(crate) struct Serving {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    pub(crate) ended: JoinHandle<()>,
}

/// Serves with long limits, except for those that the test sets.
pub(crate) async fn serving(router: Router, configure: impl FnOnce(Server) -> Server) -> Serving {
    let server = Server::bind("127.0.0.1:0").await.expect("a free port");
    let server = server.header_timeout(LONG).idle_timeout(LONG).body_timeout(LONG).drain(LONG);
    let server = configure(server);
    let address = server.local_addr().expect("an address");
    let (stop, stopped) = oneshot::channel();
    let stopped = async { stopped.await.expect("the test says stop") };
    Serving { address, stop, ended: tokio::spawn(server.serve(router, stopped)) }
}

impl Serving {
    pub(crate) async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.expect("it listens"))
    }

    /// What is still awaited of it after that.
    pub(crate) fn stop(self) -> JoinHandle<()> {
        self.stop.send(()).expect("it serves");
        self.ended
    }
}

pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    pub(crate) async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.expect("sent");
    }

    /// Asks for a page and gives its body.
    pub(crate) async fn get(&mut self, path: &str) -> String {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n")).await;
        self.answer().await
    }

    /// The body of the next answer, which has a length.
    pub(crate) async fn answer(&mut self) -> String {
        soon("the answer", async {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                head.push(self.0.read_u8().await.expect("an answer") as char);
            }
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let mut body = vec![0; length.expect("a length").parse().expect("a number")];
            self.0.read_exact(&mut body).await.expect("the body");
            String::from_utf8(body).expect("text")
        })
        .await
    }

    /// All that still comes until the server closes the connection.
    pub(crate) async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let read = soon("the end of the connection", self.0.read_to_end(&mut rest)).await;
        if let Err(error) = read {
            // The server has closed without reading everything that was sent.
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
        }
        String::from_utf8(rest).expect("text")
    }

    /// Whether nothing has come so far.
    pub(crate) fn waits(&self) -> bool {
        let read = self.0.try_read(&mut [0]);
        read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// A test that waits for ever is a test that fails.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, future)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {limit:?}"))
}
