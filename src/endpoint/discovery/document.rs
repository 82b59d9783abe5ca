//! [`Metadata`]: what this crate uses of a discovery document, and the rules for the document.
//!
//! | field | rule |
//! |---|---|
//! | `issuer` | equals the configured issuer, or one accepted beside it, character for character (section 4.3) |
//! | `token_endpoint` | required |
//! | `revocation_endpoint`, `end_session_endpoint`, `jwks_uri` | optional |
//! | every URL | follows the [`SchemeRule`] |

use http::Uri;
use serde::Deserialize;
use url::Url;

use super::{
    DiscoveryError,
    address::{SchemeRule, without_secrets},
};
use crate::{ConfigError, endpoint::issuers::Issuers};

/// The provider's URLs. Deliberately without `Debug`: the query of a URL may hold a key.
#[derive(Clone)]
pub(crate) struct Metadata {
    pub(crate) token: Uri,
    pub(crate) revocation: Option<Uri>,
    pub(crate) end_session: Option<Uri>,
    pub(crate) jwks: Option<Uri>,
}

/// The URL of the issuer's discovery document: the issuer without a trailing slash, followed by the
/// well-known path (section 4.1).
pub(crate) fn document_url(issuer: &str, rule: &SchemeRule) -> Result<Uri, ConfigError> {
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

/// Parses the document that was fetched from `url`.
pub(in crate::endpoint) fn parse(
    issuers: &Issuers,
    url: &str,
    body: &[u8],
    rule: &SchemeRule,
) -> Result<Metadata, DiscoveryError> {
    #[derive(Deserialize)]
    struct Document {
        issuer: String,
        token_endpoint: String,
        revocation_endpoint: Option<String>,
        end_session_endpoint: Option<String>,
        jwks_uri: Option<String>,
    }
    // Deliberately without serde_json's message, which would quote the document.
    let document: Document = serde_json::from_slice(body).map_err(|error| {
        DiscoveryError::NotADocument { url: url.into(), line: error.line(), column: error.column() }
    })?;
    if !issuers.may_name_document(&document.issuer) {
        return Err(DiscoveryError::IssuerMismatch {
            expected: issuers.own().into(),
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
mod tests;
