//! A TCP proxy in front of a provider or a store. It can be cut, and a request with a certain word
//! in it can be stopped on its way there or back.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    time::timeout,
};
use url::Url;

/// So that a hang fails a test; nothing else hangs on it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the server is reached instead.
pub struct Way {
    pub address: SocketAddr,
    state: Arc<watch::Sender<State>>,
    stop: Arc<Mutex<Option<Stop>>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Refusing,
    Silent,
}

/// Where a request is stopped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The server does not get it.
    BeforeTheServer,
    /// The server gets it, and answers, but nothing comes back on that connection.
    OnTheWayBack,
}

/// A request that is stopped, or will be. It goes on when this is dropped.
pub struct Stopped {
    reached: watch::Receiver<bool>,
    _go_on: watch::Sender<()>,
}

struct Stop {
    word: &'static str,
    place: Place,
    reached: watch::Sender<bool>,
    going_on: watch::Receiver<()>,
}

impl Way {
    pub async fn to(server: &Url) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let target =
            format!("{}:{}", server.host_str().expect("a host"), server.port().expect("a port"));
        let state = Arc::new(watch::Sender::new(State::Open));
        let stop = Arc::default();
        tokio::spawn(forward(listener, target, state.clone(), Arc::clone(&stop)));
        Self { address, state, stop }
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

    /// Stops the next request with this word in it, and whatever follows on its connection.
    pub fn stop(&self, word: &'static str, place: Place) -> Stopped {
        let (reached, reached_receiver) = watch::channel(false);
        let (go_on, going_on) = watch::channel(());
        let stop = Stop { word, place, reached, going_on };
        *self.stop.lock().unwrap_or_else(PoisonError::into_inner) = Some(stop);
        Stopped { reached: reached_receiver, _go_on: go_on }
    }
}

impl Stopped {
    /// Resolves when there is such a request.
    pub async fn reached(&self) {
        let mut reached = self.reached.clone();
        let reached = timeout(PATIENCE, reached.wait_for(|reached| *reached)).await;
        // Whoever is gone has let the request pass already.
        let _ = reached.expect("such a request comes");
    }
}

impl Stop {
    async fn wait(mut self) {
        // It never changes: it ends.
        let _ = self.going_on.changed().await;
    }
}

async fn forward(
    listener: TcpListener,
    target: String,
    state: Arc<watch::Sender<State>>,
    stop: Arc<Mutex<Option<Stop>>>,
) {
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
                let stop = Arc::clone(&stop);
                tokio::spawn(carry(client, target.clone(), now, state.subscribe(), stop));
            }
            changed = changes.changed() => changed.expect("the way stands"),
        }
    }
}

/// Carries one connection until the way changes under it. What was taken in silence stays silent.
async fn carry(
    client: TcpStream,
    target: String,
    at: State,
    mut changes: watch::Receiver<State>,
    stop: Arc<Mutex<Option<Stop>>>,
) {
    if at == State::Silent {
        return std::future::pending().await;
    }
    let server = TcpStream::connect(target).await.expect("the server listens");
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("a TCP stream");
    }
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    let (shut, answers_wait) = watch::channel(false);
    tokio::select! {
        // Either side may break off; that is theirs to notice.
        () = requests(from_client, to_server, &stop, shut) => {}
        () = answers(from_server, to_client, answers_wait) => {}
        _ = changes.wait_for(|now| *now != State::Open) => {}
    }
}

/// `shut`: whether answers have to wait.
async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    stop: &Mutex<Option<Stop>>,
    shut: watch::Sender<bool>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let bytes = &buffer[..length];
        let stopped = {
            let mut stop = stop.lock().unwrap_or_else(PoisonError::into_inner);
            stop.take_if(|stop| {
                bytes.windows(stop.word.len()).any(|part| part == stop.word.as_bytes())
            })
        };
        if let Some(stopped) = stopped {
            if stopped.place == Place::OnTheWayBack {
                shut.send_replace(true);
                if to.write_all(bytes).await.is_err() {
                    return;
                }
            }
            stopped.reached.send_replace(true);
            let place = stopped.place;
            stopped.wait().await;
            shut.send_replace(false);
            if place == Place::OnTheWayBack {
                continue;
            }
        }
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}

async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut shut: watch::Receiver<bool>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let _ = shut.wait_for(|shut| !shut).await;
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
