//! What the fuzz targets share.
//!
//! In an input `$` stands for a secret, so that one changed byte plants one anywhere.

pub mod sent;

use tower_token_refresh::fuzzing::Told;

pub const SECRET: &str = "hunter2hunter2";
/// A part of it tells too much, too.
const PART: &str = "hunter2";

/// The input with its secrets.
pub fn planted(input: &[u8]) -> Vec<u8> {
    let mut planted = Vec::with_capacity(input.len());
    for byte in input {
        match byte {
            b'$' => planted.extend_from_slice(SECRET.as_bytes()),
            byte => planted.push(*byte),
        }
    }
    planted
}

/// The errors of this crate are short and its own words.
pub fn assert_silent(told: &Told) {
    assert!(!tells(&told.everything), "a secret is told: {}", told.everything);
    assert!(told.message.is_ascii(), "not our words: {}", told.message);
    assert!(told.message.len() < 200, "too long: {}", told.message);
    assert!(told.everything.len() < 4000, "too long: {}", told.everything);
}

pub fn tells(text: &str) -> bool {
    text.to_ascii_lowercase().contains(PART)
}
