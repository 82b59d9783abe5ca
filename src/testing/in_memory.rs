//! The front without sockets: gates, latency and broken connections under paused time.

use std::io;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;

use super::{
    StrictIssuer,
    gate::Place,
    issuer::{AnswerLost, lock},
};
use crate::endpoint::Transport;

impl StrictIssuer {
    /// A transport that ends in this issuer. Nothing of it needs a socket, so it works under `tokio::time::pause`.
    #[must_use]
    pub fn transport(&self) -> Transport {
        let issuer = self.clone();
        Transport::new(tower::service_fn(move |request| {
            let issuer = issuer.clone();
            async move { issuer.exchange(request).await.map(|response| response.map(Full::new)) }
        }))
    }

    /// Like [`handle`](Self::handle), with gates and latency.
    ///
    /// # Errors
    /// If the script breaks the connection.
    pub async fn exchange(&self, request: Request<Bytes>) -> io::Result<Response<Bytes>> {
        let Some(endpoint) = self.endpoint_of(request.uri().path()) else {
            return Ok(self.handle(request));
        };
        self.pass(Place::Before(endpoint)).await;
        let answer = self.handle(request);
        let delay = lock(&self.inner.script).delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        self.pass(Place::After(endpoint)).await;
        if answer.extensions().get::<AnswerLost>().is_some() {
            return Err(connection_broke());
        }
        Ok(answer)
    }
}

pub(super) fn connection_broke() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the connection broke before the answer")
}
