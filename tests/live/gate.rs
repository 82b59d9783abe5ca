//! The way to a provider, with a gate in it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use reqwest::{Client, redirect::Policy};
use serde_json::Value;
use tokio::{sync::watch, time::timeout};
use tower_token_refresh::Transport;

/// So that a promise that is broken fails a test instead of stopping it; nothing else hangs on it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Carries requests to a provider. While it is closed it keeps back the answers: the provider has
/// done its part by then.
#[derive(Clone)]
pub struct Gate {
    http: Client,
    open: Arc<watch::Sender<bool>>,
    seen: Arc<watch::Sender<Seen>>,
}

#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Answers of the token endpoint, in order.
    pub tokens: Vec<Value>,
    /// Answers of the revocation endpoint.
    pub revocations: usize,
}

impl Gate {
    pub fn new() -> Self {
        let http = Client::builder().redirect(Policy::none()).build().expect("a client");
        Self { http, open: Arc::new(watch::Sender::new(true)), seen: Arc::default() }
    }

    pub fn close(&self) {
        self.open.send_replace(false);
    }

    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// What the provider has answered so far, whether or not the gate let it through.
    pub fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Waits until the provider has answered as much as `enough` wants.
    pub async fn until(&self, enough: impl FnMut(&Seen) -> bool) {
        let mut seen = self.seen.subscribe();
        let waited = timeout(PATIENCE, seen.wait_for(enough)).await;
        waited
            .unwrap_or_else(|_| panic!("the provider has seen too little"))
            .expect("the gate stands");
    }

    pub fn transport(&self) -> Transport {
        let gate = self.clone();
        Transport::new(tower::service_fn(move |request| gate.clone().pass(request)))
    }

    /// One request, there and back.
    pub async fn pass(
        self,
        request: Request<Bytes>,
    ) -> Result<Response<reqwest::Body>, reqwest::Error> {
        let path = request.uri().path().to_owned();
        let answer = self.http.execute(request.try_into()?).await?;
        let status = answer.status();
        let body = answer.bytes().await?;
        self.seen.send_modify(|seen| {
            if path.ends_with("/token") {
                seen.tokens.push(serde_json::from_slice(&body).unwrap_or(Value::Null));
            } else if path.contains("revo") {
                seen.revocations += 1;
            }
        });
        self.open.subscribe().wait_for(|open| *open).await.expect("the gate stands");
        let mut response = Response::new(body.into());
        *response.status_mut() = status;
        Ok(response)
    }
}
