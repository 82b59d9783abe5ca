//! [`Exchange`]: sends one request and reads its whole answer, within a time and a size.

use std::{
    io::{self, Read},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;

use super::{
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
    pub(super) body: Result<Bytes, EndpointError>,
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
        request: Request<Bytes>,
        max_bytes: usize,
    ) -> Result<Answer, EndpointError> {
        // tokio's timeout, not the transport's: it works for every transport and covers the body.
        match tokio::time::timeout(self.limit, self.send_and_read(request, max_bytes)).await {
            Ok(answer) => answer,
            Err(elapsed) => {
                Err(EndpointError::new(Kind::NoAnswer).maybe_consumed().with_source(elapsed))
            }
        }
    }

    async fn send_and_read(
        &self,
        mut request: Request<Bytes>,
        max_bytes: usize,
    ) -> Result<Answer, EndpointError> {
        request.headers_mut().extend(self.headers.clone());
        let response = self.transport.send(request).await.map_err(transport_failed)?;
        let (head, body) = response.into_parts();
        let body = read(&head.headers, body, max_bytes)
            .await
            .and_then(|body| decoded(&head.headers, body, max_bytes));
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}

/// Reads a body up to `max_bytes`. It refuses a longer one without reading it if `Content-Length`
/// gives the length, and otherwise as soon as the body crosses the limit.
async fn read(
    headers: &HeaderMap,
    mut body: TransportBody,
    max_bytes: usize,
) -> Result<Bytes, EndpointError> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > max_bytes as u64) {
        return Err(too_large(max_bytes));
    }
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            EndpointError::new(Kind::NoAnswer).maybe_consumed().with_source(error)
        })?;
        // Ignores trailers.
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + data.len() > max_bytes {
            return Err(too_large(max_bytes));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// Undoes a compression that nobody has asked for: some gateways compress everything. Reads no more
/// than `max_bytes` of what comes out.
fn decoded(headers: &HeaderMap, body: Bytes, max_bytes: usize) -> Result<Bytes, EndpointError> {
    let coding = headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    let coding = coding.unwrap_or_default().trim().to_ascii_lowercase();
    let unpacked = match &*coding {
        "gzip" | "x-gzip" => unpack(MultiGzDecoder::new(&*body), max_bytes),
        "deflate" if has_zlib_frame(&body) => unpack(ZlibDecoder::new(&*body), max_bytes),
        "deflate" => unpack(DeflateDecoder::new(&*body), max_bytes),
        _ => return Ok(body),
    };
    match unpacked {
        Ok(whole) if whole.len() > max_bytes => Err(too_large(max_bytes)),
        Ok(whole) => Ok(whole.into()),
        // Some proxies unpack a body and leave the header as it was.
        Err(_) => Ok(body),
    }
}

/// RFC 9110 (8.4.1.2) wants a frame around "deflate" (RFC 1950, 2.2), and some senders leave it out.
fn has_zlib_frame(body: &[u8]) -> bool {
    let [method, flags, ..] = body else { return false };
    method & 0x0F == 8 && (u16::from(*method) << 8 | u16::from(*flags)) % 31 == 0
}

/// At most one byte more than allowed.
fn unpack(packed: impl Read, max_bytes: usize) -> io::Result<Vec<u8>> {
    let mut whole = Vec::new();
    packed.take(max_bytes as u64 + 1).read_to_end(&mut whole)?;
    Ok(whole)
}

/// For the chain of sources.
#[derive(Debug, thiserror::Error)]
#[error("the limit is {0} bytes")]
struct Limit(usize);

fn too_large(max_bytes: usize) -> EndpointError {
    EndpointError::new(Kind::InvalidResponse { rule: "is too long" }).with_source(Limit(max_bytes))
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
