//! The claims of a JWT: decoded, and verified only with [`ClaimsTrust::Verified`].
//!
//! The tokens read here came from the provider's token endpoint, over a connection that this crate
//! made itself. OpenID Connect Core 3.1.3.7 (6) accepts that in place of a signature check. Do not
//! use this for tokens that a browser or another service sent.

mod trust;

use std::{collections::HashMap, fmt};

use jsonwebtoken::errors::ErrorKind;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

pub use self::trust::ClaimsTrust;
pub(crate) use self::trust::VerifyToken;

/// The payload of `jwt` as a `T`, without any verification.
pub(crate) fn payload<T: DeserializeOwned>(jwt: &str) -> Result<T, ClaimsError> {
    // jsonwebtoken looks at the last two dots only: it would take the fourth part of an encrypted
    // token (JWE) for a payload.
    if jwt.split('.').count() != 3 {
        return Err(ClaimsError::NotAJwt);
    }
    jsonwebtoken::dangerous::insecure_decode_claims(jwt)
        .map_err(|error| ClaimsError::without_content(&error))
}

/// Why a token has no claims. It names the place and the rule, never the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimsError {
    /// Not three parts with dots between them (RFC 7515, 3.1): an opaque or an encrypted token.
    #[error("the token is not a signed JWT")]
    NotAJwt,
    /// The second part is not base64url without padding (RFC 7515, 2).
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
    /// Deliberately not a `source`: serde_json quotes the values that it rejects, and base64 the
    /// characters.
    fn without_content(error: &jsonwebtoken::errors::Error) -> Self {
        match error.kind() {
            ErrorKind::Base64(_) => Self::NotBase64Url,
            ErrorKind::Json(json) if json.is_data() => {
                Self::WrongShape { line: json.line(), column: json.column() }
            }
            ErrorKind::Json(json) => Self::NotJson { line: json.line(), column: json.column() },
            ErrorKind::Utf8(_) => Self::NotJson { line: 0, column: 0 },
            _ => Self::NotAJwt,
        }
    }
}

/// The claims most providers put into an access token (RFC 7519, 4.1; RFC 9068, 2.2; OpenID Connect
/// Core, 5.1), with Keycloak's roles. Whatever a provider leaves out is `None` or empty. For other
/// claims, write a type of your own.
///
/// `Debug` leaves out what identifies the user and the login (`sub`, `sid`, `jti`, names and
/// e-mail).
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct StandardClaims {
    /// Who issued the token.
    pub iss: Option<String>,
    /// The user, unique at the issuer.
    pub sub: Option<String>,
    /// The audience. One string in the token counts as a list of one.
    #[serde(default, deserialize_with = "one_or_many")]
    pub aud: Vec<String>,
    /// When it expires, in seconds since 1970; a fraction is cut off.
    #[serde(default, deserialize_with = "seconds")]
    pub exp: Option<u64>,
    /// When it was issued, in seconds since 1970.
    #[serde(default, deserialize_with = "seconds")]
    pub iat: Option<u64>,
    /// When it begins to be valid, in seconds since 1970.
    #[serde(default, deserialize_with = "seconds")]
    pub nbf: Option<u64>,
    /// The token's own identifier.
    pub jti: Option<String>,
    /// The client that it was issued to.
    pub azp: Option<String>,
    /// The login at the provider (OpenID Connect Back-Channel Logout, 2.1).
    pub sid: Option<String>,
    /// The scopes, separated by spaces. A list in the token is joined.
    #[serde(default, deserialize_with = "words")]
    pub scope: Option<String>,
    /// The name that the user logs in with. It may change, and may not be unique.
    pub preferred_username: Option<String>,
    /// The user's e-mail address. It may change, and may be neither unique nor verified.
    pub email: Option<String>,
    /// The user's full name.
    pub name: Option<String>,
    /// Keycloak: the roles in the realm.
    #[serde(default, deserialize_with = "null_is_default")]
    pub realm_access: Roles,
    /// Keycloak: the roles at each client, by client id.
    #[serde(default, deserialize_with = "null_is_default")]
    pub resource_access: HashMap<String, Roles>,
}

/// Keycloak's list of roles.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Roles {
    /// The names of the roles, in the token's order.
    #[serde(default)]
    pub roles: Vec<String>,
}

impl StandardClaims {
    /// The audience; empty if the token names none.
    #[must_use]
    pub fn audience(&self) -> &[String] {
        &self.aud
    }

    /// Whether the user has `role` at `client` (Keycloak's `resource_access`). Names are compared
    /// exactly.
    #[must_use]
    pub fn has_role(&self, client: &str, role: &str) -> bool {
        self.resource_access.get(client).is_some_and(|at_client| at_client.contains(role))
    }

    /// Whether the user has `role` in the realm (Keycloak's `realm_access`). Names are compared
    /// exactly.
    #[must_use]
    pub fn has_realm_role(&self, role: &str) -> bool {
        self.realm_access.contains(role)
    }
}

impl Roles {
    fn contains(&self, role: &str) -> bool {
        self.roles.iter().any(|name| name == role)
    }
}

impl fmt::Debug for StandardClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StandardClaims")
            .field("iss", &self.iss)
            .field("aud", &self.aud)
            .field("azp", &self.azp)
            .field("exp", &self.exp)
            .field("scope", &self.scope)
            .field("realm_access", &self.realm_access)
            .field("resource_access", &self.resource_access)
            .finish_non_exhaustive()
    }
}

/// A number, whole or not, or a string of one, as some providers write all their numbers. `None`
/// for anything else.
pub(crate) fn lenient_number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

/// Words with spaces between them (RFC 6749, 3.3), or a list of them. `None` for anything else.
pub(crate) fn lenient_words(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(words) => {
            words.iter().map(Value::as_str).collect::<Option<Vec<_>>>().map(|words| words.join(" "))
        }
        _ => None,
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let Some(value) = Option::<Value>::deserialize(deserializer)? else { return Ok(None) };
    match lenient_number(&value) {
        // The cast cuts the fraction off and stops at the ends of u64.
        Some(number) if number >= 0.0 => Ok(Some(number as u64)),
        _ => Err(serde::de::Error::custom("not seconds since 1970")),
    }
}

fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let Some(value) = Option::<Value>::deserialize(deserializer)? else { return Ok(None) };
    lenient_words(&value).map(Some).ok_or_else(|| serde::de::Error::custom("not a list of words"))
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Option::deserialize(deserializer)? {
        None => Vec::new(),
        Some(OneOrMany::One(audience)) => vec![audience],
        Some(OneOrMany::Many(audiences)) => audiences,
    })
}

fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests;
