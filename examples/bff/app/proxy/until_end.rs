//! An event stream is open for as long as the page is. So it ends with the login: a browser in
//! which somebody has logged out is told nothing more.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::Body,
    http::{HeaderMap, header},
};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tower_token_refresh::LoginTokens;

/// The upstream's answer for the browser.
pub(super) fn body(headers: &HeaderMap, answer: Incoming, tokens: &LoginTokens) -> Body {
    if !is_event_stream(headers) {
        return Body::new(answer);
    }
    let tokens = tokens.clone();
    let ended = Box::pin(async move {
        let error = tokens.ended().await;
        tracing::debug!(%error, "an event stream was closed");
    });
    Body::new(UntilEnd { answer: Some(answer), ended })
}

/// Of others nobody knows that they have no end, such as downloads: they go on.
fn is_event_stream(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).map(|line| line.as_bytes());
    let media_type = media_type.and_then(|line| line.split(|byte| *byte == b';').next());
    media_type.is_some_and(|name| name.trim_ascii().eq_ignore_ascii_case(b"text/event-stream"))
}

struct UntilEnd {
    /// Dropped at the end of the login, so that the upstream learns of it.
    answer: Option<Incoming>,
    ended: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl HttpBody for UntilEnd {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let Some(answer) = &mut this.answer else { return Poll::Ready(None) };
        // Before the answer: what comes at the same moment is not for this browser any more.
        if this.ended.as_mut().poll(cx).is_ready() {
            this.answer = None;
            return Poll::Ready(None);
        }
        Pin::new(answer).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.answer.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    /// Deliberately no length, even if the upstream says one: the login may end before.
    fn size_hint(&self) -> SizeHint {
        SizeHint::new()
    }
}
