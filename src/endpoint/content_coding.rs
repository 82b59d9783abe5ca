//! Undoes the content codings of an answer (RFC 9110, section 8.4), within a size.
//!
//! Nobody has asked for them, so senders that use them also get them wrong: a header over a body that
//! was unpacked on the way, a packed body without a header, bytes behind the end, no end.

use std::io::{self, ErrorKind, Read};

use bytes::Bytes;
use flate2::{
    bufread::GzDecoder,
    read::{DeflateDecoder, ZlibDecoder},
};
use http::{HeaderMap, header};

const GZIP_MAGIC: &[u8] = &[0x1F, 0x8B, 8];
/// A body that was packed more often stays as it is.
const MOST_CODINGS: usize = 2;

pub(super) enum Unpacked {
    Whole(Bytes),
    /// Before the end, or before the checksum.
    BrokeOff(Bytes),
    TooLong,
}

/// It was not packed in this way.
struct NotPacked;

/// Reads no more than `max_bytes` of what comes out.
pub(super) fn undo(headers: &HeaderMap, mut body: Bytes, max_bytes: usize) -> Unpacked {
    let mut is_whole = true;
    for coding in codings(headers, &body) {
        let unpacked = match &*coding {
            "deflate" if has_zlib_frame(&body) => unpack(ZlibDecoder::new(&*body), max_bytes),
            // Without a frame, plain text may look packed, for a while at least.
            "deflate" if is_json(&body) => continue,
            "deflate" => match unpack(DeflateDecoder::new(&*body), max_bytes) {
                Ok(Unpacked::BrokeOff(_)) => continue,
                unpacked => unpacked,
            },
            _ if body.starts_with(GZIP_MAGIC) => unpack(Members::of(&body), max_bytes),
            _ => continue,
        };
        match unpacked {
            Ok(Unpacked::Whole(whole)) => body = whole,
            Ok(Unpacked::BrokeOff(begin)) => (body, is_whole) = (begin, false),
            Ok(Unpacked::TooLong) => return Unpacked::TooLong,
            // Some proxies unpack a body and leave the header as it was.
            Err(NotPacked) => {}
        }
    }
    if is_whole { Unpacked::Whole(body) } else { Unpacked::BrokeOff(body) }
}

/// The codings of `body`, the last one first.
fn codings(headers: &HeaderMap, body: &[u8]) -> Vec<String> {
    let named = headers.get_all(header::CONTENT_ENCODING).into_iter();
    let named = named.filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(','));
    let named = named.map(|name| name.trim().to_ascii_lowercase());
    let is_coding = |name: &String| matches!(&**name, "gzip" | "x-gzip" | "deflate");
    let mut codings: Vec<_> = named.filter(is_coding).collect();
    codings.reverse();
    match codings.len() {
        0 if body.starts_with(GZIP_MAGIC) => vec!["gzip".to_owned()],
        0..=MOST_CODINGS => codings,
        _ => Vec::new(),
    }
}

/// RFC 9110 (8.4.1.2) wants a frame around "deflate" (RFC 1950, 2.2), and some senders leave it out.
fn has_zlib_frame(body: &[u8]) -> bool {
    let [method, flags, ..] = body else { return false };
    method & 0x0F == 8 && (u16::from(*method) << 8 | u16::from(*flags)) % 31 == 0
}

fn is_json(body: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok()
}

/// The members of a gzip body (RFC 1952, section 2.2). What stands behind them is not looked at.
struct Members<'a>(GzDecoder<&'a [u8]>);

impl<'a> Members<'a> {
    fn of(body: &'a [u8]) -> Self {
        Self(GzDecoder::new(body))
    }
}

impl Read for Members<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.0.read(into)?;
            let behind = *self.0.get_ref();
            if read > 0 || into.is_empty() || !behind.starts_with(GZIP_MAGIC) {
                return Ok(read);
            }
            self.0 = GzDecoder::new(behind);
        }
    }
}

fn unpack(packed: impl Read, max_bytes: usize) -> Result<Unpacked, NotPacked> {
    let mut body = Vec::new();
    let read = packed.take(max_bytes as u64 + 1).read_to_end(&mut body);
    if body.len() > max_bytes {
        return Ok(Unpacked::TooLong);
    }
    match read {
        Ok(_length) => Ok(Unpacked::Whole(body.into())),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof && !body.is_empty() => {
            Ok(Unpacked::BrokeOff(body.into()))
        }
        // Also where the checksum is wrong: then any of its bytes may be.
        Err(_) => Err(NotPacked),
    }
}

#[cfg(test)]
mod tests;
