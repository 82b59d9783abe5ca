//! A provider that answers every refresh, after as many milliseconds as the URL says.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Json, Router, extract::Path, routing::post};
use tokio::net::TcpListener;

use crate::common::token_response;

#[derive(Clone)]
pub struct Provider {
    address: String,
    posts: Arc<AtomicUsize>,
}

impl Provider {
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let posts = Arc::new(AtomicUsize::new(0));
        let count = posts.clone();
        let answer = async move |Path(millis): Path<u64>| {
            count.fetch_add(1, Ordering::SeqCst);
            if millis > 0 {
                tokio::time::sleep(Duration::from_millis(millis)).await;
            }
            Json(token_response("alice"))
        };
        let router = Router::new().route("/token/{millis}", post(answer));
        tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { address, posts }
    }

    /// A token endpoint that takes so long.
    pub fn url(&self, millis: u64) -> String {
        format!("{}/token/{millis}", self.address)
    }

    /// Refreshes so far.
    pub fn posts(&self) -> usize {
        self.posts.load(Ordering::SeqCst)
    }
}
