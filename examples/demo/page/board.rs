//! What is measured in a run, for the page: when each request began and ended, when each token
//! request went out, and what the refreshers say of their refreshes.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tower_token_refresh::{Clock, operate::Flight};

/// What is asked for on the page.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    pub requests: usize,
    #[serde(default)]
    pub slow: bool,
    #[serde(default)]
    pub down: bool,
    #[serde(default)]
    pub leader_leaves: bool,
    #[serde(default)]
    pub log_out: bool,
    #[serde(default)]
    pub two_processes: bool,
}

/// Everything that the page draws.
#[derive(Clone, Default, Serialize)]
pub struct Board {
    /// Counts the runs.
    pub run: u64,
    pub running: bool,
    pub asked: Option<Ask>,
    /// How long the provider takes for an answer.
    pub provider_ms: f64,
    pub ours: Option<Side>,
    pub naive: Option<Side>,
    /// What kept a run from its end.
    pub error: Option<String>,
}

/// One of the two ways. Times are milliseconds since its requests were sent.
#[derive(Clone, Default, Serialize)]
pub struct Side {
    pub now: f64,
    pub requests: Vec<Sent>,
    pub posts: Vec<Posted>,
    pub flights: Vec<Refresh>,
    /// The request whose client went away.
    pub left: Option<usize>,
    pub log_out: Option<Sent>,
    /// What the provider counted, once the run is over.
    pub provider: Option<Counts>,
    /// Whether a request is served when the token has expired once more.
    pub logged_in: Option<bool>,
    /// What happens from now on is not drawn.
    #[serde(skip)]
    pub over: bool,
}

/// A request of the browser. Without a status it was not answered, or is not yet.
#[derive(Clone, Default, Serialize)]
pub struct Sent {
    pub begin: f64,
    pub end: Option<f64>,
    pub status: Option<u16>,
}

/// A token request.
#[derive(Clone, Serialize)]
pub struct Posted {
    pub process: usize,
    /// For which request it was sent. The library sends one for all that wait.
    pub request: Option<usize>,
    pub begin: f64,
    pub end: Option<f64>,
    pub status: Option<u16>,
}

/// A refresh of the library.
#[derive(Clone, Serialize)]
pub struct Refresh {
    pub process: usize,
    pub began: f64,
    pub leader: Option<usize>,
    pub flight: Flight,
}

/// The provider's own count.
#[derive(Clone, Copy, Serialize)]
pub struct Counts {
    pub token_requests: usize,
    pub refreshes: usize,
    pub login_alive: bool,
}

/// One side while it is measured.
#[derive(Clone)]
pub struct Recorder {
    side: Arc<Mutex<Side>>,
    clock: Clock,
    began: Arc<Mutex<Duration>>,
    has_posted: Arc<watch::Sender<bool>>,
}

impl Recorder {
    pub fn new(clock: Clock, requests: usize) -> Self {
        let side = Side { requests: vec![Sent::default(); requests], ..Side::default() };
        let side = Arc::new(Mutex::new(side));
        Self { side, clock, began: Arc::default(), has_posted: Arc::new(watch::Sender::new(false)) }
    }

    /// Time counts from now.
    pub fn begin(&self) {
        *self.began.lock().unwrap_or_else(PoisonError::into_inner) = self.clock.monotonic();
    }

    pub fn side(&self) -> MutexGuard<'_, Side> {
        self.side.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn now(&self) -> f64 {
        let began = *self.began.lock().unwrap_or_else(PoisonError::into_inner);
        self.clock.monotonic().saturating_sub(began).as_secs_f64() * 1000.0
    }

    /// When this wall time was. It is the same clock.
    pub fn since_begin(&self, wall: SystemTime) -> f64 {
        let ago = self.clock.now().duration_since(wall).unwrap_or_default();
        self.now() - ago.as_secs_f64() * 1000.0
    }

    pub fn sent(&self, number: usize) {
        let begin = self.now();
        self.side().requests[number].begin = begin;
    }

    /// None if its client has gone away.
    pub fn answered(&self, number: usize, status: Option<u16>) {
        let end = self.now();
        let mut side = self.side();
        side.requests[number].end = Some(end);
        side.requests[number].status = status;
        if status.is_none() {
            side.left = Some(number);
        }
    }

    /// A token request goes out; gives its place, if it is drawn.
    pub fn posted(&self, process: usize, request: Option<usize>) -> Option<usize> {
        let begin = self.now();
        let mut side = self.side();
        if side.over {
            return None;
        }
        side.posts.push(Posted { process, request, begin, end: None, status: None });
        let place = side.posts.len() - 1;
        drop(side);
        self.has_posted.send_replace(true);
        Some(place)
    }

    pub fn post_answered(&self, place: usize, status: u16) {
        let end = self.now();
        let post = &mut self.side().posts[place];
        (post.end, post.status) = (Some(end), Some(status));
    }

    /// Waits for the first token request; says for which request it is.
    pub async fn first_post(&self) -> Option<usize> {
        // It cannot fail: the sender is here.
        let _ = self.has_posted.subscribe().wait_for(|posted| *posted).await;
        self.side().posts.first()?.request
    }
}
