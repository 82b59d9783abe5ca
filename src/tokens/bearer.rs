//! An access token that fits into an `Authorization` header, checked once.

use std::fmt;

use http::HeaderValue;

const SCHEME: &str = "Bearer ";

/// The header that a token makes (RFC 6750 section 2.1). The token itself is a slice of it: there
/// is one copy.
#[derive(Clone)]
pub(crate) struct BearerToken(HeaderValue);

impl BearerToken {
    /// None for a token with a character that is not visible ASCII. That is wider than RFC 6750's
    /// b64token, which some providers' tokens are not, and narrower than what a header value may
    /// hold, as a space would end the credentials.
    pub(crate) fn new(token: &str) -> Option<Self> {
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let mut header = HeaderValue::try_from(format!("{SCHEME}{token}")).ok()?;
        // Clients and HPACK then neither print nor index it.
        header.set_sensitive(true);
        Some(Self(header))
    }

    pub(crate) fn expose(&self) -> &str {
        // Only visible ASCII goes in.
        self.0.to_str().ok().and_then(|header| header.get(SCHEME.len()..)).unwrap_or_default()
    }

    pub(crate) fn header(&self) -> &HeaderValue {
        &self.0
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken")
    }
}
