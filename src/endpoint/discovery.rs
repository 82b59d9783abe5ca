//! The provider's own description of itself (OpenID Connect Discovery 1.0, 4), fetched once.

use std::{
    fmt::{self, Display},
    sync::{Arc, OnceLock},
};

use http::Uri;
use serde::Deserialize;
use tokio_util::task::TaskTracker;
use url::Url;

use super::{
    address::{SchemeRule, without_secrets},
    error::{EndpointError, EndpointErrorKind as Kind},
    exchange::{Exchange, MAX_ANSWER, NET},
    wire,
};
use crate::{
    error::{Chain, ConfigError},
    single_flight::{Joined, Start, SingleFlight},
};

/// Why discovery failed. Cheap to clone: all that waited for it are told.
///
/// `Debug` prints `Display` with what caused it, because that is what a `main` that returns it prints.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// The issuer, or another setting of the endpoint, cannot work.
    #[error("discovery is not set up right")]
    Config(#[source] ConfigError),
    /// The document could not be fetched.
    #[error("the discovery document of {issuer:?} could not be fetched")]
    Fetch {
        /// The issuer asked.
        issuer: String,
        /// What happened.
        source: EndpointError,
    },
    /// What was fetched is no discovery document: no JSON object, or `issuer` or `token_endpoint` missing.
    #[error(
        "what {issuer:?} serves as its discovery document is none (line {line}, column {column})"
    )]
    NotADocument {
        /// The issuer asked.
        issuer: String,
        /// The line, from 1; 0 where it is not known.
        line: usize,
        /// The column in that line, from 1; 0 where it is not known.
        column: usize,
    },
    /// The document names another issuer (OpenID Connect Discovery 1.0, 4.3: they must be the same, character for character).
    #[error(
        "the discovery document of {expected:?} names the issuer {found:?}; a trailing slash counts"
    )]
    IssuerMismatch {
        /// The issuer asked.
        expected: String,
        /// The issuer named by the document, without query and credentials, at most 200 characters.
        found: String,
    },
    /// The document names a URL that secrets must not be sent to.
    #[error("the discovery document names a URL that cannot be used")]
    UnusableUrl(#[source] ConfigError),
    /// The task that fetched the document panicked, or its runtime was shut down. The next use tries again.
    #[error("discovery was broken off")]
    BrokenOff,
}

impl fmt::Debug for DiscoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Chain(self).fmt(f)
    }
}

impl From<DiscoveryError> for EndpointError {
    /// A failed discovery means that the request it was for has surely not been sent.
    fn from(error: DiscoveryError) -> Self {
        let kind = match &error {
            DiscoveryError::Fetch { source, .. } => match source.kind() {
                Kind::NoAnswer => Kind::Unreachable,
                kind => kind.clone(),
            },
            DiscoveryError::NotADocument { .. } => {
                Kind::InvalidResponse { rule: "is not a discovery document" }
            }
            DiscoveryError::BrokenOff => Kind::Unreachable,
            DiscoveryError::Config(_)
            | DiscoveryError::IssuerMismatch { .. }
            | DiscoveryError::UnusableUrl(_) => Kind::Misconfigured,
        };
        Self::new(kind).with_source(error)
    }
}

/// What is kept of a discovery document, each URL held to the scheme rule.
/// No `Debug`: a URL's query may hold a key.
#[derive(Clone)]
pub(super) struct Metadata {
    pub(super) token: Uri,
    pub(super) revocation: Option<Uri>,
    pub(super) end_session: Option<Uri>,
    pub(super) jwks: Option<Uri>,
}

/// One discovery, whoever asks and however often: all that come while it runs wait for the same one. A success stays, a failure is
/// told to those who waited and not kept.
pub(super) struct Discovery {
    pub(super) issuer: String,
    found: OnceLock<Arc<Metadata>>,
    runs: SingleFlight<(), Outcome>,
}

type Outcome = Result<Arc<Metadata>, DiscoveryError>;

impl Discovery {
    pub(super) fn of(issuer: String) -> Arc<Self> {
        Arc::new(Self {
            issuer,
            found: OnceLock::new(),
            runs: SingleFlight::new(NET, TaskTracker::new()),
        })
    }

    /// The metadata, from memory if there; otherwise `exchange` fetches it.
    pub(super) async fn metadata(
        self: &Arc<Self>,
        exchange: &Exchange,
        rule: &SchemeRule,
    ) -> Outcome {
        if let Some(found) = self.found.get() {
            return Ok(found.clone());
        }
        let boarded = self.runs.join_or_start(&(), || match self.found.get() {
            Some(found) => Start::No(Ok(found.clone())),
            None => Start::Flight(self.clone().run(exchange.clone(), rule.clone())),
        });
        match boarded {
            Joined::Known(outcome) => outcome,
            Joined::Waiting { answer, .. } => {
                answer.await.unwrap_or(Err(DiscoveryError::BrokenOff))
            }
        }
    }

    async fn run(self: Arc<Self>, exchange: Exchange, rule: SchemeRule) -> Outcome {
        let found = fetch(&self.issuer, &exchange, &rule).await.map(Arc::new)?;
        Ok(self.found.get_or_init(|| found).clone())
    }
}

async fn fetch(
    issuer: &str,
    exchange: &Exchange,
    rule: &SchemeRule,
) -> Result<Metadata, DiscoveryError> {
    let url = document_url(issuer, rule).map_err(DiscoveryError::Config)?;
    let answer = exchange.get(&url, MAX_ANSWER).await.and_then(wire::document_answer);
    let body = answer.map_err(|source| DiscoveryError::Fetch { issuer: issuer.into(), source })?;
    read(issuer, &body, rule)
}

/// Where the document of `issuer` lies: a trailing slash goes, the well-known path comes after the issuer's own (4.1).
pub(super) fn document_url(issuer: &str, rule: &SchemeRule) -> Result<Uri, ConfigError> {
    const WHAT: &str = "the issuer";
    rule.check(WHAT, issuer)?;
    if Url::parse(issuer).is_ok_and(|url| url.query().is_some()) {
        let value = without_secrets(issuer);
        return Err(ConfigError::Url {
            what: WHAT,
            value,
            rule: "it has a query (OpenID Connect Discovery, 3)",
        });
    }
    let base = issuer.strip_suffix('/').unwrap_or(issuer);
    rule.check(WHAT, &format!("{base}/.well-known/openid-configuration"))
}

fn read(issuer: &str, body: &[u8], rule: &SchemeRule) -> Result<Metadata, DiscoveryError> {
    #[derive(Deserialize)]
    struct Document {
        issuer: String,
        token_endpoint: String,
        revocation_endpoint: Option<String>,
        end_session_endpoint: Option<String>,
        jwks_uri: Option<String>,
    }
    // serde_json's own message would quote the document.
    let document: Document =
        serde_json::from_slice(body).map_err(|error| DiscoveryError::NotADocument {
            issuer: issuer.into(),
            line: error.line(),
            column: error.column(),
        })?;
    if document.issuer != issuer {
        return Err(DiscoveryError::IssuerMismatch {
            expected: issuer.into(),
            found: without_secrets(&document.issuer),
        });
    }
    let check = |what, url: &str| rule.check(what, url).map_err(DiscoveryError::UnusableUrl);
    let optional = |what, url: Option<String>| url.map(|url| check(what, &url)).transpose();
    Ok(Metadata {
        token: check("the discovered token_endpoint", &document.token_endpoint)?,
        revocation: optional("the discovered revocation_endpoint", document.revocation_endpoint)?,
        end_session: optional(
            "the discovered end_session_endpoint",
            document.end_session_endpoint,
        )?,
        jwks: optional("the discovered jwks_uri", document.jwks_uri)?,
    })
}

#[cfg(test)]
#[path = "tests/discovery.rs"]
mod tests;
