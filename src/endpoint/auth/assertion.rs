//! A client assertion: a JWT by which this application proves who it is (RFC 7523, sections 2.2 and
//! 3; OpenID Connect Core 1.0, section 9).
//!
//! | claim | value |
//! |---|---|
//! | `iss`, `sub` | the client id |
//! | `aud` | as [`AssertionAudience`] says, one string |
//! | `jti` | 122 random bits, new for each request |
//! | `iat`, `nbf` | now, less 5 s |
//! | `exp` | in 60 s |

use std::time::{Duration, SystemTime};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use uuid::Uuid;

use super::signing_key::{SigningError, SigningKey};
use crate::clock::unix_seconds;

const LIFETIME: Duration = Duration::from_secs(60);
/// A provider whose clock is a little behind must not find the assertion in its future.
pub(in crate::endpoint) const BACKDATED: Duration = Duration::from_secs(5);

/// Whom a client assertion is for: its `aud` (RFC 7523, section 3).
///
/// Providers disagree, and so do the specifications: OpenID Connect Core wants the token endpoint,
/// the update of RFC 7523 and FAPI 2.0 want the issuer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum AssertionAudience {
    /// The URL of the token endpoint, also for a revocation: what most providers document, such as
    /// Entra, and what Keycloak accepts.
    #[default]
    TokenEndpoint,
    /// The URL of the endpoint that is asked, as Okta wants it.
    RequestedEndpoint,
    /// The issuer, as Auth0 and FAPI 2.0 want it. It must be configured or discovered.
    Issuer,
    /// Anything else, character for character.
    Other(String),
}

#[derive(Serialize)]
pub(super) struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: String,
    jti: String,
    iat: u64,
    nbf: u64,
    exp: u64,
}

impl<'a> Claims<'a> {
    pub(super) fn new(client_id: &'a str, audience: String, now: SystemTime) -> Self {
        let since = unix_seconds(now - BACKDATED);
        Self {
            iss: client_id,
            sub: client_id,
            aud: audience,
            jti: Uuid::new_v4().to_string(),
            iat: since,
            nbf: since,
            exp: unix_seconds(now + LIFETIME),
        }
    }

    pub(super) fn signed_by_key(&self, key: &SigningKey) -> Result<SecretString, SigningError> {
        key.sign(self).map(SecretString::from)
    }

    /// Signs with HS256 by the client secret's UTF-8 (OpenID Connect Core 1.0, section 10.1).
    pub(super) fn signed_by_secret(
        &self,
        secret: &SecretString,
    ) -> Result<SecretString, SigningError> {
        let key = EncodingKey::from_secret(secret.expose_secret().as_bytes());
        let signed = encode(&Header::new(Algorithm::HS256), self, &key);
        signed.map(SecretString::from).map_err(|_| SigningError)
    }
}
