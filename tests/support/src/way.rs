//! A TCP proxy in front of a provider or a store, which can be cut.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};
use url::Url;

/// Where the server is reached instead.
pub struct Way {
    pub address: SocketAddr,
    state: Arc<watch::Sender<State>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Refusing,
    Silent,
}

impl Way {
    pub async fn to(server: &Url) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let target =
            format!("{}:{}", server.host_str().expect("a host"), server.port().expect("a port"));
        let state = Arc::new(watch::Sender::new(State::Open));
        tokio::spawn(forward(listener, target, state.clone()));
        Self { address, state }
    }

    pub fn refuse(&self) {
        self.state.send_replace(State::Refusing);
    }

    pub fn swallow(&self) {
        self.state.send_replace(State::Silent);
    }

    pub fn restore(&self) {
        self.state.send_replace(State::Open);
    }
}

async fn forward(listener: TcpListener, target: String, state: Arc<watch::Sender<State>>) {
    let mut listener = Some(listener);
    let mut changes = state.subscribe();
    let address = listener.as_ref().expect("just bound").local_addr().expect("an address");
    loop {
        let now = *changes.borrow_and_update();
        if now == State::Refusing {
            // Nobody listens: the kernel refuses.
            listener = None;
            changes.changed().await.expect("the way stands");
            continue;
        }
        let listening = match &listener {
            Some(listening) => listening,
            None => {
                listener.insert(TcpListener::bind(address).await.expect("the port is still ours"))
            }
        };
        tokio::select! {
            accepted = listening.accept() => {
                let (client, _) = accepted.expect("a connection");
                tokio::spawn(carry(client, target.clone(), now, state.subscribe()));
            }
            changed = changes.changed() => changed.expect("the way stands"),
        }
    }
}

/// Carries one connection until the way changes under it. What was taken in silence stays silent.
async fn carry(
    mut client: TcpStream,
    target: String,
    at: State,
    mut changes: watch::Receiver<State>,
) {
    if at == State::Silent {
        return std::future::pending().await;
    }
    let mut server = TcpStream::connect(target).await.expect("the server listens");
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("a TCP stream");
    }
    tokio::select! {
        // Either side may break off; that is theirs to notice.
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = changes.wait_for(|now| *now != State::Open) => {}
    }
}
