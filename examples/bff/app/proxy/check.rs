//! Requests that the upstream may understand in another way than we do are not passed on.

use axum::http::{Method, Version, header, request::Parts};

use super::{refusal::Refusal, web_socket};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Answer,
    WebSocket,
}

pub(super) fn check(head: &Parts) -> Result<Asked, Refusal> {
    // Not TRACE, for example: its answer is the request, and the access token would be in it.
    let (get, post) = (Method::GET, Method::POST);
    let allowed =
        [get, Method::HEAD, post, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
    if !allowed.contains(&head.method) {
        return Err(Refusal::Method);
    }
    // RFC 9112, section 3.2; HTTP/2 has `:authority` in its place.
    let hosts = head.headers.get_all(header::HOST).iter().count();
    let is_named = hosts == 1 || (head.version == Version::HTTP_2 && head.uri.host().is_some());
    if hosts > 1 || !is_named {
        return Err(Refusal::Host);
    }
    // The server takes off `chunked` alone, and would have us pass on the rest as if it were the
    // content (RFC 9112, section 6.1).
    let codings = head.headers.get_all(header::TRANSFER_ENCODING);
    if codings.iter().count() > 1
        || codings.iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
    {
        return Err(Refusal::TransferCoding);
    }
    if !head.headers.contains_key(header::UPGRADE) {
        return Ok(Asked::Answer);
    }
    if web_socket::is_asked_for(head) { Ok(Asked::WebSocket) } else { Err(Refusal::Upgrade) }
}
