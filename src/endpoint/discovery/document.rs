//! [`Metadata`]: what this crate uses of a discovery document, and the rules for the document.
//!
//! | field | rule |
//! |---|---|
//! | `issuer` | equals the configured issuer, or one accepted beside it, character for character (section 4.3) |
//! | `token_endpoint` | required |
//! | `revocation_endpoint`, `end_session_endpoint`, `jwks_uri`, `authorization_endpoint`, `pushed_authorization_request_endpoint` | optional |
//! | every URL of these | follows the [`SchemeRule`] |
//! | `require_pushed_authorization_requests` (RFC 9126, section 5), `authorization_response_iss_parameter_supported` (RFC 9207, section 3) | anything but `true` is false |
//! | `mtls_endpoint_aliases` | for a client with a certificate (RFC 8705, section 5); one that is no URL of the rule is ignored |

use http::Uri;
use serde::Deserialize;
use serde_json::Value;
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
    pub(crate) authorization: Authorization,
    /// The other addresses for clients with a certificate (RFC 8705, section 5).
    pub(crate) mtls: MtlsAliases,
}

/// Where and how a login begins.
#[derive(Clone, Default)]
#[cfg_attr(not(feature = "login"), allow(dead_code, reason = "the login routes use it"))]
pub(crate) struct Authorization {
    /// Where to send the browser (RFC 6749, section 3.1).
    pub(crate) endpoint: Option<Uri>,
    /// Where to send what the browser would carry (RFC 9126).
    pub(crate) pushed: Option<Uri>,
    /// The provider takes no request that the browser carries.
    pub(crate) must_be_pushed: bool,
    /// Each answer names its issuer, so one that does not is another's (RFC 9207, section 2.4).
    pub(crate) answer_names_issuer: bool,
}

#[derive(Clone, Default)]
pub(crate) struct MtlsAliases {
    #[cfg_attr(not(feature = "login"), allow(dead_code, reason = "the login routes use it"))]
    pub(crate) pushed: Option<Uri>,
    pub(crate) token: Option<Uri>,
    pub(crate) revocation: Option<Uri>,
}

impl Metadata {
    /// Where a refresh goes; `mtls`: of a client with a certificate.
    pub(crate) fn token_url(&self, mtls: bool) -> &Uri {
        self.mtls.token.as_ref().filter(|_| mtls).unwrap_or(&self.token)
    }

    /// Where a pushed authorization request goes.
    #[cfg(feature = "login")]
    pub(crate) fn pushed_url(&self, mtls: bool) -> Option<&Uri> {
        self.mtls.pushed.as_ref().filter(|_| mtls).or(self.authorization.pushed.as_ref())
    }

    /// Where a revocation goes.
    pub(crate) fn revocation_url(&self, mtls: bool) -> Option<&Uri> {
        self.mtls.revocation.as_ref().filter(|_| mtls).or(self.revocation.as_ref())
    }
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
        authorization_endpoint: Option<String>,
        pushed_authorization_request_endpoint: Option<String>,
        require_pushed_authorization_requests: Option<Value>,
        authorization_response_iss_parameter_supported: Option<Value>,
        // Most clients do not need them, so nothing about them breaks the document.
        mtls_endpoint_aliases: Option<Value>,
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
    let is_true = |value: Option<Value>| value == Some(Value::Bool(true));
    let aliases = document.mtls_endpoint_aliases;
    let alias = |name: &'static str| rule.check(name, aliases.as_ref()?.get(name)?.as_str()?).ok();
    Ok(Metadata {
        token: check("the discovered token_endpoint", &document.token_endpoint)?,
        revocation: optional("the discovered revocation_endpoint", document.revocation_endpoint)?,
        end_session: optional(
            "the discovered end_session_endpoint",
            document.end_session_endpoint,
        )?,
        jwks: optional("the discovered jwks_uri", document.jwks_uri)?,
        authorization: Authorization {
            endpoint: optional(
                "the discovered authorization_endpoint",
                document.authorization_endpoint,
            )?,
            pushed: optional(
                "the discovered pushed_authorization_request_endpoint",
                document.pushed_authorization_request_endpoint,
            )?,
            must_be_pushed: is_true(document.require_pushed_authorization_requests),
            answer_names_issuer: is_true(document.authorization_response_iss_parameter_supported),
        },
        mtls: MtlsAliases {
            pushed: alias("pushed_authorization_request_endpoint"),
            token: alias("token_endpoint"),
            revocation: alias("revocation_endpoint"),
        },
    })
}

#[cfg(test)]
mod tests;
