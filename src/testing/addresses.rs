//! Where the issuer serves what.

use super::issuer::{StrictIssuer, lock};

/// What the issuer serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// `/.well-known/openid-configuration`
    Discovery,
    /// `/protocol/openid-connect/certs`
    Jwks,
    /// `/protocol/openid-connect/token`
    Token,
    /// `/protocol/openid-connect/revoke`
    Revocation,
    /// `/protocol/openid-connect/userinfo`
    UserInfo,
    /// `/protocol/openid-connect/auth`
    Authorization,
    /// `/protocol/openid-connect/logout`
    EndSession,
}

impl Endpoint {
    pub(super) const ALL: [Self; 7] = [
        Self::Discovery,
        Self::Jwks,
        Self::Token,
        Self::Revocation,
        Self::UserInfo,
        Self::Authorization,
        Self::EndSession,
    ];

    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Discovery => "/.well-known/openid-configuration",
            Self::Jwks => "/protocol/openid-connect/certs",
            Self::Token => "/protocol/openid-connect/token",
            Self::Revocation => "/protocol/openid-connect/revoke",
            Self::UserInfo => "/protocol/openid-connect/userinfo",
            Self::Authorization => "/protocol/openid-connect/auth",
            Self::EndSession => "/protocol/openid-connect/logout",
        }
    }
}

/// # Addresses
/// They change when a server is started. Tokens from before name the old issuer.
impl StrictIssuer {
    /// The issuer: `iss` of every token.
    #[must_use]
    pub fn issuer_url(&self) -> String {
        let base = lock(&self.inner.base);
        format!("{}{}", base.origin, base.path)
    }

    /// The URL of an endpoint.
    #[must_use]
    pub fn url_of(&self, endpoint: Endpoint) -> String {
        format!("{}{}", self.issuer_url(), endpoint.path())
    }

    /// The discovery document.
    #[must_use]
    pub fn discovery_url(&self) -> String {
        self.url_of(Endpoint::Discovery)
    }

    /// The signing keys.
    #[must_use]
    pub fn jwks_url(&self) -> String {
        self.url_of(Endpoint::Jwks)
    }

    /// The token endpoint.
    #[must_use]
    pub fn token_url(&self) -> String {
        self.url_of(Endpoint::Token)
    }

    /// The revocation endpoint (RFC 7009).
    #[must_use]
    pub fn revocation_url(&self) -> String {
        self.url_of(Endpoint::Revocation)
    }

    /// The userinfo endpoint, which accepts live access tokens only.
    #[must_use]
    pub fn userinfo_url(&self) -> String {
        self.url_of(Endpoint::UserInfo)
    }
}
