//! The cookies of a request, as the bytes that the browser sent (RFC 6265, section 5.4).
//!
//! Every reader of cookies in this crate reads them here. A line that is not ASCII hides no other
//! pair, nothing is decoded, and no pair is left out.

use std::borrow::Cow;

use http::{HeaderMap, header};
use percent_encoding::percent_decode;

/// The pairs of name and value that `headers` send, in order. A part without `=` is a value without
/// a name, as browsers send it (RFC 6265bis, section 5.6.3).
///
/// ```
/// use http::{HeaderMap, HeaderValue, header};
/// use tower_token_refresh::cookies;
///
/// let mut headers = HeaderMap::new();
/// headers.insert(header::COOKIE, HeaderValue::from_static("theme=dark; lone"));
/// let sent: Vec<_> = cookies::sent(&headers).collect();
/// assert_eq!(sent, [(&b"theme"[..], &b"dark"[..]), (b"", b"lone")]);
/// ```
pub fn sent(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    let lines = headers.get_all(header::COOKIE).iter();
    lines.flat_map(|line| parts(line.as_bytes())).map(name_and_value)
}

/// The name as which lenient readers take `name`: percent-decoded, and without white space around
/// it, Unicode's included.
///
/// RFC 6265 knows no encoding of names. Still the `cookie` crate, and with it tower-sessions, reads
/// `%73ession` as `session`, and so do frameworks in other languages. Whoever guards a cookie must
/// therefore know its names of this kind, too. A name without an escape is borrowed.
///
/// ```
/// use tower_token_refresh::cookies::decoded_name;
///
/// assert_eq!(*decoded_name(b"%5F_Host-session"), *b"__Host-session");
/// assert_eq!(*decoded_name(b"50%"), *b"50%");
/// ```
#[must_use]
pub fn decoded_name(name: &[u8]) -> Cow<'_, [u8]> {
    let name = trimmed(name);
    if !name.contains(&b'%') {
        return Cow::Borrowed(name);
    }
    let decoded: Vec<u8> = percent_decode(name).collect();
    Cow::Owned(trimmed(&decoded).to_vec())
}

/// What stands between the semicolons of a line, without white space around it and not empty.
pub(crate) fn parts(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let parts = line.split(|byte| *byte == b';');
    parts.map(<[u8]>::trim_ascii).filter(|part| !part.is_empty())
}

pub(crate) fn name_and_value(part: &[u8]) -> (&[u8], &[u8]) {
    match part.iter().position(|byte| *byte == b'=') {
        Some(at) => (part[..at].trim_ascii(), part[at + 1..].trim_ascii()),
        None => (b"", part),
    }
}

fn trimmed(name: &[u8]) -> &[u8] {
    std::str::from_utf8(name).map_or(name.trim_ascii(), |name| name.trim().as_bytes())
}
