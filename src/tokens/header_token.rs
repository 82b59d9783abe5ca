//! An access token that fits into an `Authorization` header, checked once.

use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;
use http::HeaderValue;

/// A token, and the header that it makes. The token is a slice of the header: there is one copy.
#[derive(Clone)]
pub(crate) struct HeaderToken {
    header: HeaderValue,
    token: ByteString,
    scheme: Scheme,
}

/// How a token is presented, as `token_type` says (RFC 6749, section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// Whoever has it may use it (RFC 6750, section 2.1).
    Bearer,
    /// With a proof of possession (RFC 9449, section 7.1).
    Dpop,
}

impl HeaderToken {
    /// None for a token with a character that is not visible ASCII. That is wider than RFC 6750's
    /// b64token, which some providers' tokens are not, and narrower than what a header value may
    /// hold, as a space would end the credentials.
    pub(crate) fn new(token: &str, scheme: Scheme) -> Option<Self> {
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let name = match scheme {
            Scheme::Bearer => "Bearer ",
            Scheme::Dpop => "DPoP ",
        };
        let text = Bytes::from(format!("{name}{token}"));
        let token = ByteString::try_from(text.slice(name.len()..)).ok()?;
        let mut header = HeaderValue::from_maybe_shared(text).ok()?;
        // Clients and HPACK then neither print nor index it.
        header.set_sensitive(true);
        Some(Self { header, token, scheme })
    }

    /// The header of no token.
    pub(crate) fn none() -> Self {
        let header = HeaderValue::from_static("");
        Self { header, token: ByteString::new(), scheme: Scheme::Bearer }
    }

    pub(crate) fn expose(&self) -> &str {
        &self.token
    }

    pub(crate) fn header(&self) -> &HeaderValue {
        &self.header
    }

    pub(crate) fn scheme(&self) -> Scheme {
        self.scheme
    }
}

impl fmt::Debug for HeaderToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeaderToken")
    }
}
