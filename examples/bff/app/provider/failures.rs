//! What went wrong at the provider, in words that may be logged: never a token, a code, or the
//! provider's free text.

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

/// Why an ID token is not taken for what it says.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rejected {
    UnknownKey,
    Missing,
    Other(&'static str),
}

impl Rejected {
    pub(super) fn why(self) -> &'static str {
        match self {
            Self::UnknownKey => "it is signed by an unknown key",
            Self::Missing => "there is none",
            Self::Other(why) => why,
        }
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
