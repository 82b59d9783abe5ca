//! What names a login, and what counts its token sets.

use std::{
    fmt,
    hash::{BuildHasher, Hash},
};

use aws_lc_rs::{
    digest::{Context, SHA256},
    rand,
};
use rustc_hash::FxBuildHasher;

/// Names one login for as long as it lives: 128 random bits, made at log in, the same after every
/// refresh. Whoever has it is the user, so it is never printed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct GrantId(u128);

impl GrantId {
    /// The length of its text.
    const DIGITS: usize = 32;

    pub(crate) fn random() -> Self {
        let mut id = [0; 16];
        rand::fill(&mut id).expect("the operating system gives random bytes");
        Self(u128::from_be_bytes(id))
    }

    /// Reads 32 lower-case hexadecimal digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() != Self::DIGITS {
            return None;
        }
        let (high, low) = text.as_bytes().split_at(Self::DIGITS / 2);
        Some(Self(u128::from(half(high)?) << 64 | u128::from(half(low)?)))
    }

    /// The text that [`parse`](Self::parse) reads. Goes into the session and nowhere else.
    pub(crate) fn to_secret_text(self) -> String {
        format!("{:032x}", self.0)
    }
}

/// Every request comes by, and 64 bits at a time are a third of the work of 128.
fn half(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |id, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(id << 4 | u64::from(digit))
    })
}

impl fmt::Debug for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GrantId")
    }
}

/// Names a record in a [`TokenStore`](crate::token_store::TokenStore): 128 bits of a hash of the
/// login's id.
///
/// Whoever reads the token store learns from it no id that a session holds. `Debug` and `Display`
/// print a short hash of it, for logs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordKey([u8; 16]);

impl RecordKey {
    /// The key of the record of `grant`: the first half of a labelled SHA-256.
    ///
    /// Deliberately without a secret key: changing that would log everybody out.
    pub(crate) fn of(grant: GrantId) -> Self {
        Self::hashed("tower-token-refresh record", &grant.0.to_be_bytes())
    }

    /// The first half of a labelled SHA-256.
    pub(crate) fn hashed(label: &str, bytes: &[u8]) -> Self {
        Self(hash(label, bytes))
    }

    /// A key from its 16 bytes, as [`to_bytes`](Self::to_bytes) gave them.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes of the key.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

/// A short hash: it tells two logins apart in a log, and nobody finds a record by it.
impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = hash("tower-token-refresh log", &self.0);
        write!(f, "{:08x}", u32::from_be_bytes([a, b, c, d]))
    }
}

impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordKey({self})")
    }
}

/// The first half of SHA-256 over a label and `bytes`. The labels keep the uses apart.
fn hash(label: &str, bytes: &[u8]) -> [u8; 16] {
    let mut context = Context::new(&SHA256);
    context.update(label.as_bytes());
    context.update(bytes);
    let mut half = [0; 16];
    half.copy_from_slice(&context.finish().as_ref()[..16]);
    half
}

/// Counts the token sets of one grant, from 1. Never compared across grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Generation(pub(crate) u64);

impl Generation {
    pub(crate) const FIRST: Self = Self(1);
    /// Before the first one.
    pub(crate) const NONE: Self = Self(0);

    pub(crate) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// A number from 0 to 1 that looks random and is the same for the same `key`: it spreads the
/// moments at which things are done for many grants.
pub(crate) fn jitter(key: impl Hash) -> f64 {
    let hash = FxBuildHasher.hash_one(key);
    // The upper bits are the well-mixed ones; a double holds 53 of them.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let bits = (hash >> 11) as f64;
    bits / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_id_is_read_back_from_its_text_and_from_nothing_else() {
        let id = GrantId::random();
        let text = id.to_secret_text();
        assert_eq!(GrantId::parse(&text), Some(id));
        for other in ["", "abc", &text[1..], &text.to_uppercase(), &format!("+{}", &text[1..])] {
            if other != text {
                assert_eq!(GrantId::parse(other), None, "{} characters", other.len());
            }
        }
    }

    #[test]
    fn neither_the_id_nor_the_key_of_its_record_is_printed() {
        let id = GrantId::random();
        let key = RecordKey::of(id);
        let hex: String = key.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let printed = format!("{id:?} {key:?} {key}");
        assert!(!printed.contains(&id.to_secret_text()[..6]), "{printed}");
        assert!(!printed.contains(&hex[..6]), "{printed}");
    }

    #[test]
    fn the_key_of_a_record_never_changes() {
        let id = GrantId::parse("00112233445566778899aabbccddeeff").expect("32 digits");
        let hex: String =
            RecordKey::of(id).to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        // SHA-256 of the label and the sixteen bytes, cut in half.
        assert_eq!(hex, "8288d988a2399232044cf487d1a79151");
    }
}
