//! A provider that answers every refresh, after a time of its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Json, Router, routing::post};
use tokio::net::TcpListener;

use crate::common::token_response;

pub struct Provider {
    pub url: String,
    posts: Arc<AtomicUsize>,
}

impl Provider {
    pub async fn start(takes: Duration) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let url = format!("http://{}/token", listener.local_addr().expect("an address"));
        let posts = Arc::new(AtomicUsize::new(0));
        let count = posts.clone();
        let answer = async move || {
            count.fetch_add(1, Ordering::SeqCst);
            if !takes.is_zero() {
                tokio::time::sleep(takes).await;
            }
            Json(token_response("alice"))
        };
        let router = Router::new().route("/token", post(answer));
        tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { url, posts }
    }

    /// Refreshes so far.
    pub fn posts(&self) -> usize {
        self.posts.load(Ordering::SeqCst)
    }
}
