//! What went wrong at the provider, in words that may be logged: never a token, a code, or the
//! provider's free text.

use openidconnect::{RequestTokenError, StandardErrorResponse, core::CoreErrorResponseType};

use super::http::HttpError;

/// Why a login cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    #[error("the provider cannot be reached")]
    Unreachable,
    #[error("the provider refused the code: {0}")]
    CodeRefused(String),
    #[error("the provider's answer cannot be used: {0}")]
    BadAnswer(&'static str),
    #[error("the ID token was not accepted: {0}")]
    BadIdToken(&'static str),
}

/// Why an ID token is not taken for what it says. The library's own words may quote claims.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rejected {
    UnknownKey,
    Missing,
    Other(&'static str),
}

impl Rejected {
    pub(super) fn of(error: &openidconnect::ClaimsVerificationError) -> Self {
        use openidconnect::{
            ClaimsVerificationError as Claims, SignatureVerificationError as Signature,
        };
        match error {
            Claims::SignatureVerification(Signature::NoMatchingKey) => Self::UnknownKey,
            Claims::SignatureVerification(_) => Self::Other("its signature is wrong"),
            Claims::Expired(_) => Self::Other("it has expired"),
            Claims::InvalidAudience(_) => Self::Other("it is for another client"),
            Claims::InvalidIssuer(_) => Self::Other("it is another issuer's"),
            Claims::InvalidNonce(_) => Self::Other("it answers another login"),
            _ => Self::Other("it does not hold to the rules"),
        }
    }

    pub(super) fn why(self) -> &'static str {
        match self {
            Self::UnknownKey => "it is signed by an unknown key",
            Self::Missing => "there is none",
            Self::Other(why) => why,
        }
    }
}

pub(super) fn exchange_failed(
    error: RequestTokenError<HttpError, StandardErrorResponse<CoreErrorResponseType>>,
) -> ProviderError {
    match error {
        RequestTokenError::ServerResponse(answer) => {
            ProviderError::CodeRefused(registered(answer.error().as_ref()))
        }
        RequestTokenError::Request(_) => ProviderError::Unreachable,
        RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
            ProviderError::BadAnswer("it is not a token response")
        }
    }
}

pub(super) fn discovery_failed(error: &openidconnect::DiscoveryError<HttpError>) -> &'static str {
    use openidconnect::DiscoveryError as Failed;
    match error {
        Failed::Request(_) => "no answer",
        Failed::Parse(_) => "what it serves is not a discovery document",
        Failed::Response(..) => "it answered with an error",
        Failed::Validation(_) => {
            "its document names another issuer than ISSUER_URL; a trailing slash counts"
        }
        _ => "ISSUER_URL cannot be used",
    }
}

/// An error code as RFC 6749 writes them; what looks otherwise may be anything and is not repeated.
pub fn registered(code: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    if code.len() <= 40 && code.bytes().all(plain) {
        code.to_owned()
    } else {
        "another error".to_owned()
    }
}
