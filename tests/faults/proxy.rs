//! A TCP proxy that delays what it carries, or swallows it.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    net::{TcpListener, TcpStream},
    sync::watch,
};

pub struct Proxy {
    pub port: u16,
    state: Arc<watch::Sender<State>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct State {
    silent: bool,
    delay: Duration,
}

impl Proxy {
    pub async fn to(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(watch::Sender::new(State { silent: false, delay: Duration::ZERO }));
        let carried = state.clone();
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.expect("a connection");
                let state = carried.subscribe();
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else {
                        return;
                    };
                    let (from_client, to_client) = tokio::io::split(client);
                    let (from_server, to_server) = tokio::io::split(server);
                    tokio::select! {
                        () = carry(from_client, to_server, state.clone()) => {}
                        () = carry(from_server, to_client, state) => {}
                    }
                });
            }
        });
        Self { port, state }
    }

    /// Whatever is sent from now on arrives late.
    pub fn delay(&self, delay: Duration) {
        self.state.send_modify(|state| state.delay = delay);
    }

    /// Whatever is sent from now on never arrives.
    pub fn swallow(&self) {
        self.state.send_modify(|state| state.silent = true);
    }

    pub fn restore(&self) {
        self.state.send_modify(|state| state.silent = false);
    }
}

/// A connection over which something got lost carries nothing any more.
async fn carry(
    mut from: ReadHalf<TcpStream>,
    mut to: WriteHalf<TcpStream>,
    state: watch::Receiver<State>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let now = *state.borrow();
        if now.silent {
            return std::future::pending().await;
        }
        tokio::time::sleep(now.delay).await;
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
