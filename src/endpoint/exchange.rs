//! [`Exchange`]: sends one request and reads its whole answer, within a time and a size.

use std::{collections::HashMap, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde::de::IgnoredAny;
use tokio::time::{Instant, error::Elapsed, sleep, timeout_at};

use super::{
    content_coding::{self, Unpacked},
    error::{EndpointError, EndpointErrorKind as Kind},
    transport::{BoxError, NotSent, Transport, TransportBody},
};

/// The most bytes to read of an answer, unless it is set otherwise. Most take a few KiB, but the
/// access token of a user in hundreds of groups alone may take 100.
pub(super) const MAX_ANSWER: usize = 1024 * 1024;

/// The time limit of a shared fetch, as a last resort. Every sensible limit is far below it.
pub(super) const FETCH_NET: Duration = Duration::from_secs(24 * 60 * 60);

/// A provider's answer. The body may have failed: sometimes the status alone says enough.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Result<Bytes, BrokenBody>,
}

/// A body that was not read to its end.
#[derive(Clone)]
pub(super) struct BrokenBody {
    pub(super) error: EndpointError,
    /// What came before it broke off. Nothing if it was too long.
    pub(super) received: Bytes,
}

/// A transport with a time limit for each exchange.
#[derive(Debug, Clone)]
pub(super) struct Exchange {
    pub(super) transport: Transport,
    /// The time from before the connection is made to the last byte of the answer.
    pub(super) limit: Duration,
    /// The most bytes of an answer to a form.
    pub(super) max_answer: usize,
    /// What the application adds to every request.
    pub(super) headers: HeaderMap,
}

impl Exchange {
    /// Sends `request` and reads at most `max_bytes` of the answer.
    pub(super) async fn send(
        &self,
        mut request: Request<Bytes>,
        max_bytes: usize,
    ) -> Result<Answer, EndpointError> {
        // tokio's timeout, not the transport's: it works for every transport and covers the body.
        let deadline = sleep(self.limit).deadline();
        request.headers_mut().extend(self.headers.clone());
        let response = timeout_at(deadline, self.transport.send(request)).await;
        let response = response.map_err(too_late)?.map_err(transport_failed)?;
        let (head, body) = response.into_parts();
        let body = read(&head.headers, body, max_bytes, deadline).await;
        let body = unpacked(&head.headers, body, max_bytes);
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}

/// Reads a body up to `max_bytes`. It refuses a longer one without reading it if `Content-Length`
/// gives the length, and otherwise as soon as the body crosses the limit.
async fn read(
    headers: &HeaderMap,
    mut body: TransportBody,
    max_bytes: usize,
    deadline: Instant,
) -> Result<Bytes, BrokenBody> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > max_bytes as u64) {
        return Err(too_large(max_bytes));
    }
    let mut whole = BytesMut::new();
    loop {
        let error = match timeout_at(deadline, body.frame()).await {
            Ok(None) => return Ok(whole.freeze()),
            Ok(Some(Ok(frame))) => {
                // Ignores trailers.
                let Ok(data) = frame.into_data() else { continue };
                if whole.len() + data.len() > max_bytes {
                    return Err(too_large(max_bytes));
                }
                whole.extend_from_slice(&data);
                continue;
            }
            Ok(Some(Err(error))) => {
                EndpointError::new(Kind::NoAnswer).maybe_consumed().with_source(error)
            }
            Err(elapsed) => too_late(elapsed),
        };
        return Err(BrokenBody { error, received: whole.freeze() });
    }
}

/// Undoes a compression that nobody has asked for: some gateways compress everything.
fn unpacked(
    headers: &HeaderMap,
    body: Result<Bytes, BrokenBody>,
    max_bytes: usize,
) -> Result<Bytes, BrokenBody> {
    let (packed, broke_off) = match body {
        Ok(packed) => (packed, None),
        Err(BrokenBody { error, received }) => (received, Some(error)),
    };
    let (received, ended) = match content_coding::undo(headers, packed, max_bytes) {
        Unpacked::Whole(body) => (body, true),
        Unpacked::BrokeOff(body) => (body, false),
        Unpacked::TooLong => return Err(too_large(max_bytes)),
    };
    match broke_off {
        None if ended => Ok(received),
        // An object says itself where it ends. An empty one says nothing.
        _ if is_object(&received) => Ok(received),
        None => Err(BrokenBody { error: invalid("is cut off"), received }),
        Some(error) => Err(BrokenBody { error, received }),
    }
}

fn is_object(body: &[u8]) -> bool {
    let fields = serde_json::from_slice::<HashMap<String, IgnoredAny>>(body);
    fields.is_ok_and(|fields| !fields.is_empty())
}

/// For the chain of sources.
#[derive(Debug, thiserror::Error)]
#[error("the limit is {0} bytes")]
struct Limit(usize);

fn too_large(max_bytes: usize) -> BrokenBody {
    let error = invalid("is too long").with_source(Limit(max_bytes));
    BrokenBody { error, received: Bytes::new() }
}

fn invalid(rule: &'static str) -> EndpointError {
    EndpointError::new(Kind::InvalidResponse { rule })
}

fn too_late(elapsed: Elapsed) -> EndpointError {
    EndpointError::new(Kind::NoAnswer).maybe_consumed().with_source(elapsed)
}

fn transport_failed(error: BoxError) -> EndpointError {
    if NotSent::is_in(&*error) {
        EndpointError::new(Kind::Unreachable).with_source(error)
    } else {
        EndpointError::new(Kind::NoAnswer).maybe_consumed().with_source(error)
    }
}

#[cfg(test)]
mod tests;
