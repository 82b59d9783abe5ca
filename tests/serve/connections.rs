//! How many connections there are, and what each of them has.

use std::{net::SocketAddr, process::Command, sync::Arc};

use axum::{Router, extract::ConnectInfo, routing::get};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc, oneshot},
};
use tower_token_refresh::serve::Server;

use crate::world::{serving, soon};

/// Says who asks, and waits at `/gate` for a permit.
fn app(gate: Arc<Semaphore>, arrive: mpsc::Sender<()>) -> Router {
    let held = async move || {
        arrive.send(()).await.expect("the test looks");
        gate.acquire().await.expect("the gate stays").forget();
        "through"
    };
    Router::new()
        .route("/gate", get(held))
        .route("/panic", get(async || -> () { panic!("as a handler may") }))
        .fallback(get(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.to_string()))
}

fn plain() -> Router {
    app(Arc::new(Semaphore::new(0)), mpsc::channel(1).0)
}

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other_and_says_whose_it_is() {
    let serving = serving(plain(), |server| server).await;
    let mut client = serving.connect().await;
    let own_address = client.0.local_addr().unwrap().to_string();
    for _ in 0..3 {
        assert_eq!(client.get("/").await, own_address);
    }
}

#[tokio::test]
async fn one_connection_too_many_waits_until_another_ends() {
    let gate = Arc::new(Semaphore::new(0));
    let (arrive, mut arrived) = mpsc::channel(1);
    let serving = serving(app(gate.clone(), arrive), |server| server.max_connections(2)).await;

    let mut held = serving.connect().await;
    held.send("GET /gate HTTP/1.1\r\nhost: test\r\n\r\n").await;
    soon("the first request", arrived.recv()).await.unwrap();
    let mut busy = serving.connect().await;
    busy.get("/").await;

    let mut third = serving.connect().await;
    third.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n").await;
    // As often as that, the server had a chance to accept it.
    for _ in 0..50 {
        busy.get("/").await;
    }
    assert!(third.waits(), "two connections are open");

    drop(busy);
    assert_eq!(third.answer().await, third.0.local_addr().unwrap().to_string());
    gate.add_permits(1);
    assert_eq!(held.answer().await, "through", "the held one was not disturbed");
}

#[tokio::test]
async fn a_panic_ends_one_connection() {
    let serving = serving(plain(), |server| server).await;
    let (mut other, mut client) = (serving.connect().await, serving.connect().await);
    other.get("/").await;
    client.send("GET /panic HTTP/1.1\r\nhost: test\r\n\r\n").await;
    assert_eq!(client.rest().await, "");
    other.get("/").await;
    serving.connect().await.get("/").await;
}

#[tokio::test]
async fn a_listener_of_ones_own_is_served() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::from_listener(TcpListener::from_std(listener).unwrap());
    assert_eq!(server.local_addr().unwrap(), address);
    let (stop, stopped) = oneshot::channel::<()>();
    let ended = tokio::spawn(server.serve(plain(), async { drop(stopped.await) }));
    reqwest::get(format!("http://{address}")).await.unwrap().error_for_status().unwrap();
    drop(stop);
    soon("the end", ended).await.unwrap();
}

#[tokio::test]
async fn an_address_that_is_taken_is_an_error() {
    let serving = serving(plain(), |server| server).await;
    assert!(Server::bind(serving.address).await.is_err());
    assert!(Server::bind(&[][..]).await.is_err(), "no address at all");
}

/// Of several addresses, the first that works.
#[tokio::test]
async fn a_name_with_several_addresses_is_tried_in_order() {
    let serving = serving(plain(), |server| server).await;
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = Server::bind(&[serving.address, free][..]).await.unwrap();
    assert_ne!(server.local_addr().unwrap(), serving.address);
}

/// Only the kernel knows: `ss` shows the backlog as the listener's Send-Q.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_kernel_keeps_4096_connections_until_they_are_accepted() {
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    let shown = Command::new("ss").args(["-ltnH", &format!("sport = :{port}")]).output();
    let shown = shown.expect("ss (of iproute2) runs").stdout;
    let shown = String::from_utf8(shown).unwrap();
    let most = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    let backlog = 4096.min(most.trim().parse().unwrap());
    assert_eq!(shown.split_whitespace().nth(2), Some(&*backlog.to_string()), "{shown}");
}
