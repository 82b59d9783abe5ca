//! WebSockets (RFC 6455): the handshake is passed on as any other request, with the token. After it
//! there are bytes both ways, which are copied as they are.
//!
//! A WebSocket outlives its token, and nobody asks it for another one. So it ends with its login,
//! whichever of the two sides would have gone on. Whose page opens it has been checked: see
//! `SameOriginLayer`.

use std::{io, time::Duration};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header, request::Parts};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncWriteExt, copy, sink, split},
    time::timeout,
};
use tower_token_refresh::LoginTokens;

const WEBSOCKET: &[u8] = b"websocket";
/// How long the other side has once one of them has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Whether this asks for a WebSocket and nothing else (RFC 6455, section 4.2.1). Any other protocol
/// would be spoken past all that is checked here.
pub(super) fn is_asked_for(head: &Parts) -> bool {
    let headers = &head.headers;
    head.method == Method::GET
        && head.version == Version::HTTP_11
        && names_it(headers)
        && headers.contains_key(header::SEC_WEBSOCKET_KEY)
        && !has_body(headers)
}

/// Whether the upstream has agreed to what was asked for.
pub(super) fn is_agreed(headers: &HeaderMap) -> bool {
    names_it(headers)
}

/// What is about one connection was taken off, and this is what both connections agree on.
pub(super) fn name_it(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

/// Joins the two connections, once both have left HTTP behind, until one of them or the login ends.
pub(super) fn join(browser: OnUpgrade, upstream: OnUpgrade, tokens: LoginTokens) {
    tokio::spawn(async move {
        tokio::select! {
            biased;
            // In the middle of a message as well: a close frame of our own would be read as a part
            // of it.
            error = tokens.ended() => tracing::debug!(%error, "a WebSocket was closed"),
            copied = copied(browser, upstream) => match copied {
                Ok(()) => tracing::debug!("a WebSocket ended"),
                Err(error) => tracing::debug!(%error, "a WebSocket broke off"),
            }
        }
    });
}

async fn copied(browser: OnUpgrade, upstream: OnUpgrade) -> io::Result<()> {
    let (browser, upstream) =
        tokio::try_join!(browser, upstream).map_err(|error| io::Error::other(error.to_string()))?;
    let (mut from_browser, mut to_browser) = split(TokioIo::new(browser));
    let (mut from_upstream, mut to_upstream) = split(TokioIo::new(upstream));
    // A side that has said its last word wants no answer, but what is on the way to it or from it
    // is not to be cut off. After a close handshake it is the upstream that ends its connection
    // first (RFC 6455, section 7.1.1).
    tokio::select! {
        sent = copy(&mut from_browser, &mut to_upstream) => {
            sent?;
            to_upstream.shutdown().await?;
            let _cut_off = timeout(LAST_WORDS, copy(&mut from_upstream, &mut to_browser)).await;
        }
        received = copy(&mut from_upstream, &mut to_browser) => {
            received?;
            to_browser.shutdown().await?;
            // Unread input would make the system forget what it has not sent yet.
            let _cut_off = timeout(LAST_WORDS, copy(&mut from_browser, &mut sink())).await;
        }
    }
    Ok(())
}

fn names_it(headers: &HeaderMap) -> bool {
    let upgrades = words(headers, &header::UPGRADE);
    let is_only = upgrades.len() == 1 && upgrades[0].eq_ignore_ascii_case(WEBSOCKET);
    let named = words(headers, &header::CONNECTION);
    is_only && named.iter().any(|word| word.eq_ignore_ascii_case(b"upgrade"))
}

fn words<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a [u8]> {
    let lines = headers.get_all(name).iter();
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .collect()
}

fn has_body(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    length || headers.contains_key(header::TRANSFER_ENCODING)
}
