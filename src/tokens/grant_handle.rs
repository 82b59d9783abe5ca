//! [`GrantHandle`]: a login without a session.

use super::GrantId;

/// Names a login, for whoever keeps it without a session:
/// [`TokenRefresher::adopt`](crate::TokenRefresher::adopt) makes one, and
/// [`LoginTokens::handle`](crate::LoginTokens::handle) gives that of a session's login.
///
/// It is a secret: whoever has it and can ask this application acts as the user. So there is no
/// `Debug`, and in your database it belongs where passwords do. It holds no token, and stays the
/// same for as long as the login lives.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "a secret that nobody prints by accident")]
pub struct GrantHandle(pub(crate) GrantId);

/// A text that is no [`GrantHandle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a grant handle is 32 lower-case hexadecimal digits; this text has {length} bytes or another character"
)]
pub struct GrantHandleError {
    length: usize,
}

impl GrantHandle {
    /// The text to store: 32 lower-case hexadecimal digits.
    #[must_use]
    pub fn to_secret(&self) -> String {
        self.0.to_secret_text()
    }

    /// Reads what [`to_secret`](Self::to_secret) gave.
    ///
    /// # Errors
    /// The text is anything else. Whether such a login exists is not known before its tokens are
    /// asked for.
    pub fn from_secret(secret: &str) -> Result<Self, GrantHandleError> {
        let grant = GrantId::parse(secret).ok_or(GrantHandleError { length: secret.len() })?;
        Ok(Self(grant))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_read_back_and_nothing_else_is() {
        let secret = GrantHandle(GrantId::random()).to_secret();
        assert_eq!(GrantHandle::from_secret(&secret).unwrap().to_secret(), secret);
        for other in ["", "abc", &secret[1..], &secret.replace(|c: char| c.is_ascii_digit(), "x")] {
            let error = GrantHandle::from_secret(other).err().expect(other);
            assert_eq!(error, GrantHandleError { length: other.len() });
        }
    }
}
