//! The default transport against a raw TCP server, one test for each way an exchange can break.
//!
//! Each test checks how many requests the server saw, the error, whether the token may be used up,
//! and how long it took. This file breaks connections; `answers` breaks answers.

mod answers;

use std::{
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::endpoint::test_support::{refresh_token, tokens, tokio_now};

/// Long enough for a busy machine. Only tests of a limit wait that long.
const PATIENT: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(250);

#[derive(Clone, Default)]
struct Seen {
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Seen {
    fn requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }
}

struct Connection {
    socket: TcpStream,
    seen: Seen,
}

impl Connection {
    /// Reads one request with its whole body.
    async fn request(&mut self) {
        let mut text = String::new();
        loop {
            let mut piece = [0; 4096];
            let read = self.socket.read(&mut piece).await.unwrap();
            assert!(read > 0, "the client closed before its request was whole");
            text += std::str::from_utf8(&piece[..read]).unwrap();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
            if body.len() == length.parse::<usize>().unwrap() {
                break;
            }
        }
        self.seen.requests.lock().unwrap().push(text);
    }

    /// Returns false if the client has gone.
    async fn write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.socket.write_all(bytes.as_ref()).await.is_ok()
    }
}

/// A server that handles its connections with `each`, one after the other.
async fn server<F: Future<Output = ()> + Send>(
    each: impl Fn(Connection, usize) -> F + Send + Sync + 'static,
) -> (u16, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Seen::default();
    let its_seen = seen.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let turn = its_seen.connections.fetch_add(1, SeqCst);
            each(Connection { socket, seen: its_seen.clone() }, turn).await;
        }
    });
    (port, seen)
}

/// A server that reads one request per connection, writes the next answer and closes. It repeats
/// the last answer.
async fn answering(answers: &'static [&'static str]) -> (u16, Seen) {
    server(move |mut connection, turn| async move {
        connection.request().await;
        connection.write(answers.get(turn).unwrap_or(answers.last().unwrap())).await;
    })
    .await
}

fn endpoint_at(port: u16) -> TokenEndpoint {
    let url = format!("http://127.0.0.1:{port}/token?key={SECRET}");
    TokenEndpoint::new(url, ClientAuth::basic("app", SECRET))
}

/// The error of one refresh, and how long it took.
async fn failed(endpoint: TokenEndpoint) -> ((Kind, bool), Duration) {
    let started = tokio_now();
    let error = endpoint.validate().unwrap().refresh_always(&refresh_token()).await.unwrap_err();
    let took = tokio_now() - started;
    assert!(!everything_printed(&error).contains(SECRET), "{error:?}");
    ((error.kind().clone(), error.may_have_consumed()), took)
}

/// Asserts that one request failed with `kind`, without a pause.
#[track_caller]
fn assert_once(seen: &Seen, (outcome, took): ((Kind, bool), Duration), kind: Kind, consumed: bool) {
    assert_eq!((outcome, seen.requests()), ((kind, consumed), 1));
    assert!(took < PATIENT, "{took:?}");
}

const UNAVAILABLE: Kind = Kind::Unavailable { retry_after: None };
const NOT_TOKENS: Kind = Kind::InvalidResponse { rule: "is not a token response" };

fn whole_answer() -> String {
    let body = tokens().to_string();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn tokens_come_through() {
    let (port, seen) = server(|mut connection, _| async move {
        connection.request().await;
        connection.write(whole_answer()).await;
    })
    .await;
    endpoint_at(port).validate().unwrap().refresh_always(&refresh_token()).await.unwrap();
    assert_eq!((seen.requests(), seen.connections()), (1, 1));
}

#[tokio::test]
async fn refused_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let (outcome, took) = failed(endpoint_at(port)).await;
    assert_eq!(outcome, (Kind::Unreachable, false));
    assert!((SHORT / 5..PATIENT).contains(&took), "after a pause it was tried again: {took:?}");
}

#[tokio::test]
async fn a_host_that_does_not_exist() {
    let endpoint = TokenEndpoint::new("http://id.invalid/token", ClientAuth::none("app"))
        .allow_http_to("id.invalid");
    let (outcome, took) = failed(endpoint).await;
    assert_eq!(outcome, (Kind::Unreachable, false));
    assert!(took < PATIENT * 2, "{took:?}");
}

#[cfg(feature = "rustls")]
#[tokio::test]
async fn a_tls_handshake_that_fails_is_tried_again() {
    let (port, seen) = server(|mut connection, _| async move {
        connection.write("220 mail.example ESMTP\r\n").await;
    })
    .await;
    let endpoint =
        TokenEndpoint::new(format!("https://127.0.0.1:{port}/"), ClientAuth::none("app"));
    let (outcome, took) = failed(endpoint).await;
    assert_eq!((outcome, seen.connections()), ((Kind::Unreachable, false), 2));
    assert!(took < PATIENT, "{took:?}");
}

#[cfg(feature = "rustls")]
#[tokio::test]
async fn a_tls_handshake_that_hangs_is_given_up_and_tried_again() {
    let (port, seen) = server(|connection, _| async move {
        tokio::spawn(async move {
            let _held = connection;
            std::future::pending::<()>().await;
        });
    })
    .await;
    let endpoint =
        TokenEndpoint::new(format!("https://127.0.0.1:{port}/"), ClientAuth::none("app"))
            .connect_timeout(SHORT)
            .request_timeout(PATIENT);
    let (outcome, took) = failed(endpoint).await;
    assert_eq!((outcome, seen.connections()), ((Kind::Unreachable, false), 2));
    assert!((SHORT * 2..PATIENT).contains(&took), "{took:?}");
}

#[tokio::test]
async fn never_accepted() {
    // The kernel accepts connection and request. The program may still read them later.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (outcome, took) =
        failed(endpoint_at(listener.local_addr().unwrap().port()).request_timeout(SHORT)).await;
    assert_eq!(outcome, (Kind::NoAnswer, true));
    assert!((SHORT..PATIENT).contains(&took), "{took:?}");
    assert!(listener.accept().await.is_ok(), "and there it is");
}

#[tokio::test]
async fn closed_before_it_was_read() {
    let (port, seen) = server(|connection, _| async move {
        assert!(connection.socket.peek(&mut [0]).await.unwrap() > 0);
    })
    .await;
    let (outcome, took) = failed(endpoint_at(port)).await;
    assert_eq!((outcome, seen.connections()), ((Kind::NoAnswer, true), 1), "nobody here can tell");
    assert!(took < PATIENT, "{took:?}");
}

#[tokio::test]
async fn closed_when_accepted() {
    let (port, seen) = server(|connection, _| async move { drop(connection) }).await;
    let (outcome, took) = failed(endpoint_at(port)).await;
    assert_eq!((outcome, seen.connections()), ((Kind::NoAnswer, true), 1), "it may have been read");
    assert!(took < PATIENT, "{took:?}");
}

#[tokio::test]
async fn closed_after_the_headers() {
    let (port, seen) = server(|mut connection, _| async move {
        connection.request().await;
    })
    .await;
    assert_once(&seen, failed(endpoint_at(port)).await, Kind::NoAnswer, true);
}

#[tokio::test]
async fn never_an_answer() {
    let (port, seen) = server(|mut connection, _| async move {
        connection.request().await;
        // Until the client gives up.
        let _ = connection.socket.read(&mut [0]).await;
    })
    .await;
    let (outcome, took) = failed(endpoint_at(port).request_timeout(SHORT)).await;
    assert_once(&seen, (outcome, took), Kind::NoAnswer, true);
    assert!(took >= SHORT, "{took:?}");
}

#[tokio::test]
async fn a_slow_drip() {
    let (port, seen) = server(|mut connection, _| async move {
        connection.request().await;
        for byte in whole_answer().bytes() {
            let mut gone = [0];
            let pause = tokio::time::timeout(SHORT / 10, connection.socket.read(&mut gone)).await;
            if pause.is_ok() || !connection.write([byte]).await {
                break;
            }
        }
    })
    .await;
    let (outcome, took) = failed(endpoint_at(port).request_timeout(SHORT)).await;
    assert_once(&seen, (outcome, took), Kind::NoAnswer, true);
    assert!((SHORT..SHORT * 8).contains(&took), "the limit is on the whole exchange: {took:?}");
}

#[tokio::test]
async fn a_kept_connection_closed_while_idle_is_not_taken_for_ambiguous() {
    let (closed, was_closed) = tokio::sync::watch::channel(0);
    let (port, seen) = server(move |mut connection, turn| {
        let closed = closed.clone();
        async move {
            connection.request().await;
            connection.write(whole_answer()).await;
            drop(connection);
            closed.send_replace(turn + 1);
        }
    })
    .await;
    let provider = endpoint_at(port).validate().unwrap();
    for turn in 1..=30 {
        provider.refresh_always(&refresh_token()).await.unwrap();
        was_closed.clone().wait_for(|closed| *closed >= turn).await.unwrap();
    }
    assert_eq!((seen.requests(), seen.connections()), (30, 30), "each was sent once");
}

/// A server may close an idle connection just while the next request is on its way.
#[tokio::test]
async fn a_connection_that_was_idle_for_over_five_seconds_is_not_reused() {
    let (port, seen) = server(|mut connection, _| async move {
        connection.request().await;
        connection.write(whole_answer()).await;
        let used_again = connection.socket.read(&mut [0]).await.is_ok_and(|read| read > 0);
        assert!(!used_again, "it stays open for as long as the client likes");
    })
    .await;
    let provider = endpoint_at(port).validate().unwrap();
    provider.refresh_always(&refresh_token()).await.unwrap();
    // Not during a request: the paused runtime would advance while it waits for the socket.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(6)).await;
    tokio::time::resume();
    provider.refresh_always(&refresh_token()).await.unwrap();
    assert_eq!((seen.requests(), seen.connections()), (2, 2));
}

#[tokio::test]
async fn a_kept_connection_is_used_again() {
    let (port, seen) = server(|mut connection, _| async move {
        for _ in 0..3 {
            connection.request().await;
            connection.write(whole_answer()).await;
        }
    })
    .await;
    let provider = endpoint_at(port).validate().unwrap();
    for _ in 0..3 {
        provider.refresh_always(&refresh_token()).await.unwrap();
    }
    assert_eq!((seen.requests(), seen.connections()), (3, 1));
}
