//! An access token that fits into an `Authorization` header, checked once.

use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

/// A token and the header it makes (RFC 6750 section 2.1).
#[derive(Clone)]
pub(crate) struct BearerToken {
    token: SecretString,
    header: HeaderValue,
}

impl BearerToken {
    /// None for a token with a character that is not visible ASCII. That is wider than RFC 6750's b64token, which some providers'
    /// tokens are not, and narrower than what a header value may hold, as a space would end the credentials.
    pub(crate) fn new(token: String) -> Option<Self> {
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let mut header = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
        // Clients and HPACK then neither print nor index it.
        header.set_sensitive(true);
        Some(Self { token: token.into(), header })
    }

    pub(crate) fn secret(&self) -> &SecretString {
        &self.token
    }

    pub(crate) fn expose(&self) -> &str {
        self.token.expose_secret()
    }

    pub(crate) fn header(&self) -> &HeaderValue {
        &self.header
    }
}
