//! [`DiscoveryError`]: why discovery failed.

use std::{
    error::Error as StdError,
    fmt::{self, Display},
    sync::Arc,
};

use crate::{
    endpoint::error::{EndpointError, EndpointErrorKind as Kind},
    error::{Chain, ConfigError},
};

/// Why discovery failed. Cheap to clone, because all callers that waited for it get the error.
///
/// `Debug` prints the same as `Display`, followed by the sources, because a `main` that returns
/// this error prints it by `Debug`.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// The issuer or another setting of the endpoint is wrong.
    #[error(transparent)]
    Config(ConfigError),
    /// The provider did not serve the document.
    #[error("could not fetch the discovery document {url}{}", Status(*status))]
    Fetch {
        /// The URL of the document.
        url: String,
        /// The HTTP status of the answer; `None` if there was no answer.
        status: Option<u16>,
        /// What happened.
        source: Arc<dyn StdError + Send + Sync>,
    },
    /// The answer is not a discovery document: it is not a JSON object, or it lacks `issuer` or
    /// `token_endpoint`.
    #[error("{url} does not serve a discovery document (error at line {line}, column {column})")]
    NotADocument {
        /// The URL of the document.
        url: String,
        /// The line of the error, from 1; 0 if unknown.
        line: usize,
        /// The column of the error, from 1; 0 if unknown.
        column: usize,
    },
    /// The document names another issuer. Both must be the same, character for character (OpenID
    /// Connect Discovery 1.0, section 4.3), unless
    /// [`accept_issuer`](crate::TokenEndpoint::accept_issuer) accepts the other one.
    #[error(
        "the discovery document of {expected:?} names the issuer {found:?}: give it that name, to the letter"
    )]
    IssuerMismatch {
        /// The configured issuer.
        expected: String,
        /// The issuer in the document, without query and credentials, at most 200 characters.
        found: String,
    },
    /// The document names a URL to which this crate must not send secrets.
    #[error("the discovery document names an unusable URL")]
    UnusableUrl(#[source] ConfigError),
    /// The task that fetched the document panicked, or its runtime shut down. The next use tries
    /// again.
    #[error("the discovery task was interrupted")]
    Interrupted,
}

impl fmt::Debug for DiscoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Chain(self).fmt(f)
    }
}

/// The end of a sentence that names the status, if there is one.
struct Status(Option<u16>);

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |status| write!(f, ": status {status}"))
    }
}

impl From<DiscoveryError> for EndpointError {
    /// After a failed discovery, the request itself was certainly not sent.
    fn from(error: DiscoveryError) -> Self {
        let kind = match &error {
            DiscoveryError::Fetch { source, .. } => match source.downcast_ref::<Self>() {
                Some(error) if error.kind != Kind::NoAnswer => error.kind.clone(),
                _ => Kind::Unreachable,
            },
            DiscoveryError::NotADocument { .. } => {
                Kind::InvalidResponse { rule: "is not a discovery document" }
            }
            DiscoveryError::Interrupted => Kind::Unreachable,
            DiscoveryError::Config(_)
            | DiscoveryError::IssuerMismatch { .. }
            | DiscoveryError::UnusableUrl(_) => Kind::Misconfigured,
        };
        Self::new(kind).with_source(error)
    }
}
