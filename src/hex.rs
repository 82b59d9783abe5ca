//! Sixteen bytes as text: 32 hexadecimal digits.

pub(crate) fn digits(bytes: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(bytes))
}

/// Reads what [`digits`] wrote.
pub(crate) fn parse(digits: &str) -> Option<[u8; 16]> {
    u128::from_str_radix(digits, 16).ok().map(u128::to_be_bytes)
}
