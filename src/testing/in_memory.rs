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
    /// A transport that ends in this issuer. It needs no socket, so it works with
    /// `tokio::time::pause`.
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
    /// The script breaks the connection.
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt;

    use super::*;

    fn jwks_request(issuer: &StrictIssuer) -> Request<Bytes> {
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = issuer.jwks_url().parse().unwrap();
        request
    }

    #[tokio::test(start_paused = true)]
    async fn the_transport_carries_what_the_issuer_answers() {
        let issuer = StrictIssuer::new();
        issuer.delay(Duration::from_secs(60));
        let answer = issuer.transport().send(jwks_request(&issuer)).await.unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, issuer.handle(jwks_request(&issuer)).into_body());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_answer_is_an_error_of_the_transport() {
        let issuer = StrictIssuer::new();
        issuer.drop_answer_next_at(super::super::Endpoint::Jwks);
        let error = issuer.transport().send(jwks_request(&issuer)).await.unwrap_err();
        let error = error.downcast_ref::<io::Error>().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}
