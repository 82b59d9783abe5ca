//! How serving ends: with the requests under way, but not for ever.

use std::{future, sync::Arc};

use axum::{Router, routing::get};
use support::log::Log;
use tokio::{
    net::TcpStream,
    sync::{Semaphore, mpsc},
};

use tower_token_refresh::serve::Server;

use crate::world::{SHORT, Serving, serving, soon};

struct Held {
    serving: Serving,
    gate: Arc<Semaphore>,
    arrived: mpsc::Receiver<()>,
}

/// `/gate` answers with a permit, `/never` does not answer.
async fn held(configure: impl FnOnce(Server) -> Server) -> Held {
    let gate = Arc::new(Semaphore::new(0));
    let (arrive, arrived) = mpsc::channel(1);
    let (arrive_too, pass) = (arrive.clone(), gate.clone());
    let app = Router::new()
        .route(
            "/gate",
            get(async move || {
                arrive.send(()).await.expect("the test looks");
                pass.acquire().await.expect("the gate stays").forget();
                "through"
            }),
        )
        .route(
            "/never",
            get(async move || {
                arrive_too.send(()).await.expect("the test looks");
                future::pending::<()>().await;
            }),
        )
        .fallback(get(async || "hello"));
    Held { serving: serving(app, configure).await, gate, arrived }
}

#[tokio::test]
async fn a_request_under_way_is_finished_and_idle_connections_are_closed() {
    let log = Log::of_this_thread();
    let Held { serving, gate, mut arrived } = held(|server| server).await;
    let (mut idle, mut silent) = (serving.connect().await, serving.connect().await);
    idle.get("/").await;
    let mut busy = serving.connect().await;
    busy.send("GET /gate HTTP/1.1\r\nhost: test\r\n\r\n").await;
    soon("the request", arrived.recv()).await.unwrap();

    let address = serving.address;
    let ended = serving.stop();
    assert_eq!(idle.rest().await, "", "it had no request");
    assert_eq!(silent.rest().await, "", "it had none, either");
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    assert!(!ended.is_finished(), "a request is under way");

    gate.add_permits(1);
    assert_eq!(busy.answer().await, "through");
    assert_eq!(busy.rest().await, "", "no further request is wanted");
    soon("the end", ended).await.unwrap();
    assert_eq!(log.lines_at("WARN"), [""; 0]);
}

#[tokio::test]
async fn a_request_that_hangs_is_cut_off() {
    let log = Log::of_this_thread();
    let Held { serving, mut arrived, .. } = held(|server| server.drain(SHORT)).await;
    let mut hanging = serving.connect().await;
    hanging.send("GET /never HTTP/1.1\r\nhost: test\r\n\r\n").await;
    soon("the request", arrived.recv()).await.unwrap();
    soon("the end", serving.stop()).await.unwrap();
    assert_eq!(hanging.rest().await, "");
    let lines = log.lines_at("WARN");
    assert!(lines.len() == 1 && lines[0].contains("cut off connections=1"), "{lines:?}");
}

#[tokio::test]
async fn a_head_under_way_is_a_request_under_way() {
    let Held { serving, gate, mut arrived } = held(|server| server).await;
    let mut client = serving.connect().await;
    client.send("GET /gate HT").await;
    // Accepted after the first one, and served: so the first one's bytes were read.
    serving.connect().await.get("/").await;
    let ended = serving.stop();
    client.send("TP/1.1\r\nhost: test\r\n\r\n").await;
    soon("the request", arrived.recv()).await.unwrap();
    gate.add_permits(1);
    assert_eq!(client.answer().await, "through");
    soon("the end", ended).await.unwrap();
}

#[tokio::test]
async fn a_dropped_future_frees_the_port_and_ends_the_requests() {
    let Held { serving, mut arrived, .. } = held(|server| server).await;
    let mut client = serving.connect().await;
    client.send("GET /never HTTP/1.1\r\nhost: test\r\n\r\n").await;
    soon("the request", arrived.recv()).await.unwrap();
    serving.ended.abort();
    assert!(serving.ended.await.expect_err("it is cancelled").is_cancelled());
    assert_eq!(client.rest().await, "");
    // Though the old connection is still ending.
    assert!(Server::bind(serving.address).await.is_ok(), "the port is free");
}
