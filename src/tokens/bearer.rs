//! An access token that fits into an `Authorization` header, checked once.

use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;
use http::HeaderValue;

const SCHEME: &str = "Bearer ";

/// A token, and the header that it makes (RFC 6750 section 2.1). The token is a slice of the header:
/// there is one copy.
#[derive(Clone)]
pub(crate) struct BearerToken {
    header: HeaderValue,
    token: ByteString,
}

impl BearerToken {
    /// None for a token with a character that is not visible ASCII. That is wider than RFC 6750's
    /// b64token, which some providers' tokens are not, and narrower than what a header value may
    /// hold, as a space would end the credentials.
    pub(crate) fn new(token: &str) -> Option<Self> {
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let text = Bytes::from(format!("{SCHEME}{token}"));
        let token = ByteString::try_from(text.slice(SCHEME.len()..)).ok()?;
        let mut header = HeaderValue::from_maybe_shared(text).ok()?;
        // Clients and HPACK then neither print nor index it.
        header.set_sensitive(true);
        Some(Self { header, token })
    }

    pub(crate) fn expose(&self) -> &str {
        &self.token
    }

    pub(crate) fn header(&self) -> &HeaderValue {
        &self.header
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken")
    }
}
