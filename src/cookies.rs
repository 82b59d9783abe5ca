//! The cookies of a request, as the bytes that the browser sent (RFC 6265, section 5.4).
//!
//! Every reader of cookies in this crate reads them here. A line that is not ASCII hides no other
//! pair, nothing is decoded, and no pair is left out.

use http::{HeaderMap, header};

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
    let parts = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    parts.map(<[u8]>::trim_ascii).filter(|part| !part.is_empty()).map(|part| {
        match part.iter().position(|byte| *byte == b'=') {
            Some(at) => (part[..at].trim_ascii(), part[at + 1..].trim_ascii()),
            None => (&b""[..], part),
        }
    })
}
