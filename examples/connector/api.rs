//! The API that the users have linked: it takes a token that the provider takes, and notes who came
//! with which.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    routing::get,
};
use tokio::net::TcpListener;
use tower_token_refresh::testing::StrictIssuer;

pub struct Api {
    pub url: String,
    seen: Seen,
}

#[derive(Clone)]
struct Seen {
    issuer: StrictIssuer,
    notes: Arc<Mutex<Notes>>,
}

#[derive(Default)]
struct Notes {
    /// Of each user, in the order in which they came.
    tokens: HashMap<String, Vec<String>>,
    /// Which of them a process has used since the last row, by user and process.
    used: HashMap<(String, String), usize>,
    served: usize,
}

impl Api {
    pub async fn serve(issuer: StrictIssuer) -> io::Result<Self> {
        let seen = Seen { issuer, notes: Arc::default() };
        let app = Router::new()
            .route("/orders/{user}/by/{process}", get(orders))
            .with_state(seen.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self { url, seen })
    }

    pub fn tokens_of(&self, user: &str) -> Vec<String> {
        self.seen.notes().tokens.get(user).cloned().unwrap_or_default()
    }

    /// Calls with a token that the provider takes.
    pub fn served(&self) -> usize {
        self.seen.notes().served
    }

    /// What was used since the last row: of each user, by each process.
    pub fn row(&self) -> String {
        let mut used = std::mem::take(&mut self.seen.notes().used);
        let mut cell = |user: &str, process: &str| {
            let nth = used.remove(&(user.to_owned(), process.to_owned()));
            format!("{:<13}", nth.map_or("none".to_owned(), |nth| format!("token {nth}")))
        };
        [cell("alice", "A"), cell("alice", "B"), cell("bob", "A"), cell("bob", "B")].concat()
    }
}

impl Seen {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn orders(
    State(seen): State<Seen>,
    Path((user, process)): Path<(String, String)>,
    headers: HeaderMap,
) -> StatusCode {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = authorization.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    let mut notes = seen.notes();
    if !seen.issuer.is_access_token_live(token) {
        return StatusCode::UNAUTHORIZED;
    }
    notes.served += 1;
    let tokens = notes.tokens.entry(user.clone()).or_default();
    let known = tokens.iter().position(|known| known == token);
    let nth = known.unwrap_or_else(|| {
        tokens.push(token.to_owned());
        tokens.len() - 1
    });
    notes.used.insert((user, process), nth + 1);
    StatusCode::OK
}
