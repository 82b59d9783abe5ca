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

use aws_lc_rs::hmac;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use uuid::Uuid;

use super::signing_key::{SigningError, SigningKey, unsigned};

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
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let since = now.saturating_sub(BACKDATED).as_secs();
        Self {
            iss: client_id,
            sub: client_id,
            aud: audience,
            jti: Uuid::new_v4().to_string(),
            iat: since,
            nbf: since,
            exp: (now + LIFETIME).as_secs(),
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
        #[derive(Serialize)]
        struct Header {
            alg: &'static str,
            typ: &'static str,
        }
        let mut jwt = unsigned(&Header { alg: "HS256", typ: "JWT" }, self)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
        let signature = hmac::sign(&key, jwt.as_bytes());
        jwt.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(signature, &mut jwt);
        Ok(jwt.into())
    }
}
