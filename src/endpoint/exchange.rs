//! One request and its whole answer, within a time and a size.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::BodyExt;

use super::{
    error::{EndpointError, EndpointErrorKind as Kind},
    transport::{BoxError, NotSent, Transport, TransportBody},
};

/// The most that is read of an answer. Token responses and discovery documents are a few KiB.
pub(super) const MAX_ANSWER: usize = 64 * 1024;

/// A net under an exchange that many wait for, beyond any sensible limit.
pub(super) const NET: Duration = Duration::from_secs(24 * 60 * 60);

/// A provider's answer. Where the status says it all, a body that could not be read does no harm.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Result<Bytes, EndpointError>,
}

/// A transport with a time limit for each exchange.
#[derive(Debug, Clone)]
pub(super) struct Exchange {
    pub(super) transport: Transport,
    /// From before the connection is made to the last byte of the answer.
    pub(super) limit: Duration,
}

impl Exchange {
    /// Reads at most `most` bytes of the answer.
    pub(super) async fn get(&self, uri: &Uri, most: usize) -> Result<Answer, EndpointError> {
        self.run(Method::GET, uri, HeaderMap::new(), Bytes::new(), most).await
    }

    pub(super) async fn post_form(
        &self,
        uri: &Uri,
        authorization: Option<HeaderValue>,
        form: String,
    ) -> Result<Answer, EndpointError> {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        if let Some(authorization) = authorization {
            headers.insert(header::AUTHORIZATION, authorization);
        }
        self.run(Method::POST, uri, headers, form.into(), MAX_ANSWER).await
    }

    async fn run(
        &self,
        method: Method,
        uri: &Uri,
        headers: HeaderMap,
        body: Bytes,
        most: usize,
    ) -> Result<Answer, EndpointError> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = headers;
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));

        // tokio's timeout, not the transport's: it holds for every transport, and for the body too.
        match tokio::time::timeout(self.limit, self.send_and_read(request, most)).await {
            Ok(answer) => answer,
            Err(elapsed) => {
                Err(EndpointError::new(Kind::NoAnswer).maybe_consumed().with_source(elapsed))
            }
        }
    }

    async fn send_and_read(
        &self,
        request: Request<Bytes>,
        most: usize,
    ) -> Result<Answer, EndpointError> {
        let response = self.transport.send(request).await.map_err(failed)?;
        let (head, body) = response.into_parts();
        let body = read(&head.headers, body, most).await;
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}

/// A body that is too large is refused where the limit is crossed, or unread if `Content-Length` says so beforehand.
async fn read(
    headers: &HeaderMap,
    mut body: TransportBody,
    most: usize,
) -> Result<Bytes, EndpointError> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > most as u64) {
        return Err(too_large(most));
    }
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            EndpointError::new(Kind::NoAnswer).maybe_consumed().with_source(error)
        })?;
        // Trailers are no data.
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + data.len() > most {
            return Err(too_large(most));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

fn too_large(most: usize) -> EndpointError {
    let rule = if most == MAX_ANSWER { "is over 64 KiB" } else { "is over 256 KiB" };
    EndpointError::new(Kind::InvalidResponse { rule })
}

fn failed(error: BoxError) -> EndpointError {
    if NotSent::is_in(&*error) {
        EndpointError::new(Kind::Unreachable).with_source(error)
    } else {
        EndpointError::new(Kind::NoAnswer).maybe_consumed().with_source(error)
    }
}
