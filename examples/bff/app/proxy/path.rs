//! Paths below the upstream's own, and never above it.

/// Whether no segment leads upwards, however it is written: raw, percent-encoded, behind an encoded
/// or a back slash, or with parameters after a semicolon, which some servers cut off. Decoded once,
/// as HTTP does. An encoded slash alone is fine: some APIs have it in their names.
pub(super) fn stays_below(path: &str) -> bool {
    // Nearly all paths: nothing to decode, and no dot.
    if !path.bytes().any(|byte| matches!(byte, b'.' | b'%' | b'\\')) {
        return true;
    }
    let mut segment = Segment::default();
    let mut rest = path.as_bytes();
    while let Some((byte, after)) = next_decoded(rest) {
        rest = after;
        match byte {
            b'/' | b'\\' if segment.leads_upwards() => return false,
            b'/' | b'\\' => segment = Segment::default(),
            _ => segment.add(byte),
        }
    }
    !segment.leads_upwards()
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

fn next_decoded(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let hex = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    match bytes {
        [b'%', high, low, rest @ ..] => match (hex(high), hex(low)) {
            (Some(high), Some(low)) => Some((high * 16 + low, rest)),
            _ => Some((b'%', &bytes[1..])),
        },
        [byte, rest @ ..] => Some((*byte, rest)),
        [] => None,
    }
}
