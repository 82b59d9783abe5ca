//! How an input becomes an answer.
//!
//! ```text
//! 200 gzip 3 broken
//! Retry-After: 5
//!
//! {"access_token":"$"}
//! ```
//!
//! Words after the status pack the body and say so in a header (`gzip`, `zlib`, `deflate`), break
//! the connection at the end (`broken`), and repeat the body (a number, up to 128 KiB in all).

use std::io::Write;

use bytes::Bytes;
use flate2::{
    Compression,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tower_token_refresh::fuzzing::Sent;

const LONGEST: usize = 128 * 1024;
const PIECE: usize = 1000;

/// None if it has no status.
pub fn sent(input: &[u8]) -> Option<Sent> {
    let (first, mut rest) = line(input);
    let mut words = std::str::from_utf8(first).ok()?.split(' ');
    let status = StatusCode::from_bytes(words.next()?.as_bytes()).ok()?;
    let mut headers = HeaderMap::new();
    loop {
        let (header, after) = line(rest);
        rest = after;
        if header.is_empty() {
            break;
        }
        let Some(colon) = header.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&header[..colon]);
        let value = HeaderValue::from_bytes(header[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value)
            && headers.len() < 20
        {
            headers.append(name, value);
        }
    }
    let mut body = rest.to_vec();
    let mut breaks_off = false;
    for word in words {
        let (packed, coding) = match word {
            "gzip" => (
                pack(GzEncoder::new(Vec::new(), Compression::fast()), &body, GzEncoder::finish),
                "gzip",
            ),
            "zlib" => (
                pack(ZlibEncoder::new(Vec::new(), Compression::fast()), &body, ZlibEncoder::finish),
                "deflate",
            ),
            "deflate" => (
                pack(
                    DeflateEncoder::new(Vec::new(), Compression::fast()),
                    &body,
                    DeflateEncoder::finish,
                ),
                "deflate",
            ),
            "broken" => {
                breaks_off = true;
                continue;
            }
            times => {
                let times = times.parse::<usize>().unwrap_or(1).min(LONGEST / body.len().max(1));
                body = body.repeat(times.max(1));
                continue;
            }
        };
        body = packed;
        headers.insert("content-encoding", HeaderValue::from_static(coding));
    }
    let pieces = body.chunks(PIECE).map(Bytes::copy_from_slice).collect();
    Some(Sent { status, headers, pieces, breaks_off })
}

fn line(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
    let (line, rest) = text.split_at(end);
    (line, rest.get(1..).unwrap_or_default())
}

fn pack<W: Write>(
    mut packer: W,
    body: &[u8],
    finish: fn(W) -> std::io::Result<Vec<u8>>,
) -> Vec<u8> {
    packer.write_all(body).and_then(|()| finish(packer)).expect("memory takes everything")
}
