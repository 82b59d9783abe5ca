//! [`TokenSet`]: a token response, read once.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    BearerToken,
    claims::{self, lenient_number, lenient_words},
};

/// No lifetime counts for more than 100 years, so that adding it to a time cannot overflow.
const LONGEST_LIFE: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The tokens of one login, from the provider's token response.
///
/// Make one with [`TokenSet::from_response`] in the callback of your login, and give it to
/// [`log_in`](crate::TokenRefresher::log_in).
///
/// | field of the response | rule |
/// |---|---|
/// | `access_token` | required; visible ASCII, because it goes into a header (RFC 6750, 2.1) |
/// | `token_type` | required (RFC 6749, 5.1 and 7.1): "Bearer" in any case |
/// | `expires_in` | seconds, above 0: a number or a string of one. Without it, a JWT's own `exp` counts |
/// | `refresh_token`, `id_token` | null and empty count as absent |
/// | `refresh_expires_in`, `refresh_token_expires_in` | seconds above 0; anything else (also Keycloak's 0) means "no limit known" |
/// | `scope` | words separated by spaces, or a list of words |
///
/// `Debug` shows no token, and there is no `Serialize`: only this crate stores tokens.
#[derive(Clone)]
pub struct TokenSet {
    pub(crate) access_token: BearerToken,
    pub(crate) refresh_token: Option<SecretString>,
    pub(crate) id_token: Option<SecretString>,
    pub(crate) scope: Option<String>,
    pub(crate) expires_in: Option<Duration>,
    pub(crate) refresh_expires_in: Option<Duration>,
    pub(crate) subject: Option<String>,
    pub(crate) sid: Option<String>,
    pub(crate) obtained_at: Option<SystemTime>,
    pub(crate) expires_at: Option<SystemTime>,
}

impl TokenSet {
    /// Reads a token response, by value or by reference: `CoreTokenResponse` of `openidconnect`,
    /// `BasicTokenResponse` of `oauth2`, a `serde_json::Value`, or anything else that serializes to
    /// the JSON of RFC 6749, section 5.1.
    ///
    /// The subject and `sid` come from the ID token, or else from the access token if it is a JWT.
    /// Neither is verified here.
    ///
    /// ```
    /// use tower_token_refresh::TokenSet;
    ///
    /// # fn main() -> Result<(), tower_token_refresh::TokenSetError> {
    /// let response = serde_json::json!({
    ///     "access_token": "2YotnFZFEjr1zCsicMWpAA", "token_type": "Bearer", "expires_in": 300,
    /// });
    /// let tokens = TokenSet::from_response(&response)?.with_subject("alice");
    /// # let _ = tokens;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`TokenSetError`] names the field and the rule it breaks.
    pub fn from_response(response: impl Serialize) -> Result<Self, TokenSetError> {
        // The error of a foreign `Serialize` may quote what it could not write.
        let json = serde_json::to_vec(&response).map_err(|_| TokenSetError::NotSerializable)?;
        Self::from_json(json)
    }

    /// Reads the body of a token response.
    ///
    /// # Errors
    /// [`TokenSetError`] names the field and the rule it breaks.
    pub fn from_json(body: impl AsRef<[u8]>) -> Result<Self, TokenSetError> {
        let wire: WireTokens = serde_json::from_slice(body.as_ref()).map_err(|error| {
            TokenSetError::NotJson { line: error.line(), column: error.column() }
        })?;
        wire.into_token_set()
    }

    /// Names the user, unique at the issuer. It overrides what the tokens say. If the login has no
    /// ID token, an ID token that comes with a refresh must have this `sub`, or the login ends.
    #[must_use]
    pub fn with_subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Sets when the token request was *sent*: `expires_in` counts from then. Without it, it counts
    /// from the login.
    #[must_use]
    pub fn with_obtained_at(mut self, at: SystemTime) -> Self {
        self.obtained_at = Some(at);
        self
    }

    /// Sets when the access token expires. It overrides `expires_in`.
    #[must_use]
    pub fn with_expires_at(mut self, at: SystemTime) -> Self {
        self.expires_at = Some(at);
        self
    }
}

impl fmt::Debug for TokenSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSet")
            .field("has_refresh_token", &self.refresh_token.is_some())
            .field("has_id_token", &self.id_token.is_some())
            .field("has_subject", &self.subject.is_some())
            .field("scope", &self.scope)
            .field("expires_in", &self.expires_in)
            .field("refresh_expires_in", &self.refresh_expires_in)
            .field("obtained_at", &self.obtained_at)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Why a token response was refused. It names the field and the rule, never a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenSetError {
    /// The response given to [`TokenSet::from_response`] does not serialize.
    #[error("the token response does not serialize to JSON")]
    NotSerializable,
    /// It is not a JSON object, or has a field twice (RFC 6749, 5.1).
    #[error(
        "the token response is not a JSON object with each field once (line {line}, column {column})"
    )]
    NotJson {
        /// The line, from 1; 0 where it is not known.
        line: usize,
        /// The column in that line, from 1; 0 where it is not known.
        column: usize,
    },
    /// A field that is missing or breaks its rule.
    #[error("the token response's {field} {rule}")]
    Field {
        /// Which field.
        field: &'static str,
        /// The rule that it breaks.
        rule: &'static str,
    },
}

/// The fields as they came. All are `Value`, so that the error for a wrong type is ours: it names
/// the field and quotes nothing.
#[derive(Deserialize)]
struct WireTokens {
    access_token: Option<Value>,
    token_type: Option<Value>,
    expires_in: Option<Value>,
    refresh_token: Option<Value>,
    refresh_expires_in: Option<Value>,
    refresh_token_expires_in: Option<Value>,
    id_token: Option<Value>,
    scope: Option<Value>,
}

impl WireTokens {
    fn into_token_set(self) -> Result<TokenSet, TokenSetError> {
        let access_token = usable_access_token(text("access_token", self.access_token)?)?;
        require_bearer(text("token_type", self.token_type)?.as_deref())?;
        let id_token = text("id_token", self.id_token)?;
        let expires_in = self.expires_in.as_ref().map(access_life).transpose()?;

        let by_id_token = id_token.as_deref().map(Hints::of).unwrap_or_default();
        let by_access_token = Hints::of(access_token.expose());
        Ok(TokenSet {
            expires_at: if expires_in.is_none() { by_access_token.expires_at() } else { None },
            subject: by_id_token.subject().or(by_access_token.subject()),
            sid: by_id_token.sid().or(by_access_token.sid()),
            access_token,
            refresh_token: text("refresh_token", self.refresh_token)?.map(SecretString::from),
            id_token: id_token.map(SecretString::from),
            scope: self.scope.as_ref().and_then(lenient_words),
            expires_in,
            refresh_expires_in: self
                .refresh_expires_in
                .or(self.refresh_token_expires_in)
                .as_ref()
                .and_then(positive_life),
            obtained_at: None,
        })
    }
}

/// A field of text; empty counts as absent.
fn text(field: &'static str, value: Option<Value>) -> Result<Option<String>, TokenSetError> {
    match value {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
        Some(_) => Err(TokenSetError::Field { field, rule: "is not a string" }),
    }
}

fn usable_access_token(token: Option<String>) -> Result<BearerToken, TokenSetError> {
    let broken = |rule| TokenSetError::Field { field: "access_token", rule };
    let token = token.ok_or(broken("is missing or empty"))?;
    BearerToken::new(&token).ok_or(broken("holds a character that is not visible ASCII"))
}

fn require_bearer(token_type: Option<&str>) -> Result<(), TokenSetError> {
    let broken = |rule| Err(TokenSetError::Field { field: "token_type", rule });
    match token_type {
        None => broken("is missing or empty"),
        Some(token_type) if token_type.eq_ignore_ascii_case("bearer") => Ok(()),
        Some(_) => broken("is not bearer"),
    }
}

fn access_life(value: &Value) -> Result<Duration, TokenSetError> {
    positive_life(value).ok_or(TokenSetError::Field {
        field: "expires_in",
        rule: "is not a number of seconds above 0",
    })
}

fn positive_life(value: &Value) -> Option<Duration> {
    let seconds = lenient_number(value).filter(|seconds| *seconds > 0.0)?;
    let life =
        Duration::try_from_secs_f64(seconds).map_or(LONGEST_LIFE, |life| life.min(LONGEST_LIFE));
    // A positive number may still round to nothing.
    Some(life).filter(|life| !life.is_zero())
}

/// The three claims that are read here, each by itself: one odd claim must not hide the others.
#[derive(Deserialize, Default)]
struct Hints {
    sub: Option<Value>,
    sid: Option<Value>,
    exp: Option<Value>,
}

impl Hints {
    /// Nothing if the token is opaque or encrypted, which is no error.
    fn of(jwt: &str) -> Self {
        claims::payload(jwt).unwrap_or_default()
    }

    fn subject(&self) -> Option<String> {
        text("sub", self.sub.clone()).ok().flatten()
    }

    fn sid(&self) -> Option<String> {
        text("sid", self.sid.clone()).ok().flatten()
    }

    fn expires_at(&self) -> Option<SystemTime> {
        let seconds = lenient_number(self.exp.as_ref()?).filter(|seconds| *seconds > 0.0)?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
    }
}

#[cfg(test)]
mod tests;
