//! The hash of a key: the only form of it that leaves the process.

use aws_lc_rs::{
    digest::{Context, SHA256},
    hmac,
};

use super::LockError;

const LABEL: &[u8] = b"tower-token-refresh lock";
const LONGEST: usize = 512;

/// 128 bits of a labelled SHA-256 of the key, or of an HMAC-SHA-256 where there is a secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct LockKey([u8; 16]);

impl LockKey {
    pub(crate) fn of(key: &str, secret: Option<&hmac::Key>) -> Result<Self, LockError> {
        if key.is_empty() || key.len() > LONGEST {
            return Err(LockError::InvalidKey { length: key.len() });
        }
        let mut half = [0; 16];
        match secret {
            Some(secret) => {
                let mut context = hmac::Context::with_key(secret);
                context.update(LABEL);
                context.update(key.as_bytes());
                half.copy_from_slice(&context.sign().as_ref()[..16]);
            }
            None => {
                let mut context = Context::new(&SHA256);
                context.update(LABEL);
                context.update(key.as_bytes());
                half.copy_from_slice(&context.finish().as_ref()[..16]);
            }
        }
        Ok(Self(half))
    }

    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(super) fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// Thirty-two hexadecimal digits.
    #[cfg(any(feature = "postgres", feature = "redis"))]
    pub(super) fn digits(self) -> String {
        crate::hex::digits(self.0)
    }

    /// Reads what [`digits`](Self::digits) wrote.
    #[cfg(any(feature = "postgres", feature = "redis"))]
    pub(super) fn parse(digits: &str) -> Option<Self> {
        crate::hex::parse(digits).map(Self)
    }
}
