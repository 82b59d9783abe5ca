//! The claims of a JWT: decoded, and verified only with [`ClaimsTrust::Verified`].
//!
//! The tokens read here came from the provider's token endpoint, over a connection that this crate
//! made itself. OpenID Connect Core 3.1.3.7 (6) accepts that in place of a signature check. Do not
//! use this for tokens that a browser or another service sent.

mod lenient;
mod standard;
mod trust;

use serde::de::DeserializeOwned;

pub(crate) use self::{
    lenient::{lenient_base64, lenient_number, lenient_text, lenient_texts, lenient_words},
    trust::VerifyToken,
};
pub use self::{
    standard::{Roles, StandardClaims},
    trust::ClaimsTrust,
};

/// The payload of `jwt` as a `T`, without any verification.
pub(crate) fn payload<T: DeserializeOwned>(jwt: &str) -> Result<T, ClaimsError> {
    from_payload(payload_part(jwt)?)
}

/// The payload of `jwt`, still encoded.
pub(crate) fn payload_part(jwt: &str) -> Result<&str, ClaimsError> {
    let mut parts = jwt.split('.');
    // The fourth part of an encrypted token (JWE) is no payload.
    let (Some(_header), Some(payload), Some(_signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(ClaimsError::NotAJwt);
    };
    Ok(payload)
}

/// The claims of an encoded payload.
pub(crate) fn from_payload<T: DeserializeOwned>(payload: &str) -> Result<T, ClaimsError> {
    let json = lenient_base64(payload).map_err(|_| ClaimsError::NotBase64Url)?;
    from_json(&json)
}

/// Claims as JSON text.
pub(crate) fn from_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, ClaimsError> {
    serde_json::from_slice(json).map_err(|error| ClaimsError::without_content(&error))
}

/// Why a token has no claims. It names the place and the rule, never the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimsError {
    /// Not three parts with dots between them (RFC 7515, 3.1): an opaque or an encrypted token.
    #[error("the token is not a signed JWT")]
    NotAJwt,
    /// The second part is not base64url (RFC 7515, 2). Standard base64 and padding are read, too.
    #[error("the token's payload is not base64url")]
    NotBase64Url,
    /// The second part is not JSON.
    #[error("the token's payload is not JSON (line {line}, column {column})")]
    NotJson {
        /// The line in the decoded payload, from 1; 0 where it is not known.
        line: usize,
        /// The column in that line, from 1; 0 where it is not known.
        column: usize,
    },
    /// The payload is JSON, but does not fit the claims type.
    #[error("the token's payload does not fit the claims type (line {line}, column {column})")]
    WrongShape {
        /// The line in the decoded payload, from 1; 0 where it is not known.
        line: usize,
        /// The column in that line, from 1; 0 where it is not known.
        column: usize,
    },
    /// With [`ClaimsTrust::Verified`], claims must be verified first. The `Claims` extractor does
    /// that, and so does [`AccessToken::verify`](crate::AccessToken::verify).
    #[error("the token has not been verified yet")]
    NotVerified,
}

impl ClaimsError {
    /// Deliberately not a `source`: serde_json quotes the values that it rejects.
    fn without_content(error: &serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        if error.is_data() {
            Self::WrongShape { line, column }
        } else {
            Self::NotJson { line, column }
        }
    }
}

#[cfg(test)]
mod tests;
