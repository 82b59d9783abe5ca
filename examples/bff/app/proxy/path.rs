//! Paths with one reading only, below the upstream's own and never above it.
//!
//! What checks a path and what serves it must not read it differently. So a path is refused that
//! some server would still decode, cut, merge or turn into another one.

use percent_encoding::percent_decode_str;

/// Whether all servers read `path` alike. It has
///
/// - visible ASCII only, no backslash, and whole escapes only (RFC 3986, section 2.1);
/// - no slash, backslash or control character behind an escape, and none behind two;
/// - no segment that leads upwards: `.` or `..`, raw or behind one escape or two, or with parameters
///   after a semicolon, which some servers cut off;
/// - no two slashes at its start, which name a host (RFC 3986, section 4.2).
pub(super) fn is_canonical(path: &str) -> bool {
    !path.starts_with("//") && path.split('/').all(|segment| is_plain(segment.as_bytes()))
}

fn is_plain(mut rest: &[u8]) -> bool {
    let mut segment = Segment::default();
    loop {
        let byte = match rest {
            [] => return !segment.leads_upwards(),
            [b'%', ..] => {
                let Some((byte, after)) = escaped(rest) else { return false };
                rest = after;
                if is_structure(byte) || (byte == b'%' && hides_structure(after)) {
                    return false;
                }
                byte
            }
            [byte, after @ ..] if byte.is_ascii_graphic() && *byte != b'\\' => {
                rest = after;
                *byte
            }
            _ => return false,
        };
        segment.add(byte);
    }
}

/// What an escape would hide from whoever does not decode it.
fn is_structure(byte: u8) -> bool {
    byte.is_ascii_control() || matches!(byte, b'/' | b'\\')
}

/// Whether a second decoding would find a dot, another escape or structure after an escaped `%`.
fn hides_structure(after: &[u8]) -> bool {
    let twice = [b"%", &after[..after.len().min(2)]].concat();
    escaped(&twice).is_some_and(|(byte, _)| is_structure(byte) || matches!(byte, b'.' | b'%'))
}

/// The byte that an escape at the start stands for, and what follows it.
fn escaped(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let hex = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    match bytes {
        [b'%', high, low, rest @ ..] => Some((hex(high)? * 16 + hex(low)?, rest)),
        _ => None,
    }
}

/// As a server reads a path that decodes it, cuts parameters off and merges slashes.
pub(crate) fn plain(path: &str) -> String {
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    let segments = decoded.split('/').filter_map(|segment| segment.split(';').next());
    segments.filter(|segment| !segment.is_empty()).fold(String::new(), |mut plain, segment| {
        plain.push('/');
        plain.push_str(segment);
        plain
    })
}

pub(super) fn joined(base: &str, below: &str, query: Option<&str>) -> String {
    let query_length = query.map_or(0, |query| query.len() + 1);
    let mut joined = String::with_capacity(base.len() + below.len() + query_length);
    joined.push_str(base);
    joined.push_str(below);
    if let Some(query) = query {
        joined.push('?');
        joined.push_str(query);
    }
    joined
}

/// What matters of a segment: whether it is `.` or `..`.
#[derive(Default)]
struct Segment {
    dots: usize,
    others: bool,
    parameters: bool,
}

impl Segment {
    fn add(&mut self, byte: u8) {
        match byte {
            _ if self.parameters => {}
            b';' => self.parameters = true,
            b'.' => self.dots += 1,
            _ => self.others = true,
        }
    }

    fn leads_upwards(&self) -> bool {
        !self.others && matches!(self.dots, 1 | 2)
    }
}
