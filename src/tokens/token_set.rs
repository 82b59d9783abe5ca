//! [`TokenSet`]: a token response, read once.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    HeaderToken, NewRefreshToken, Scheme,
    lifetime::{LONGEST_LIFE, saturating_add},
    token_response,
};
use crate::dpop::DpopKey;

const ONE_MINUTE: Duration = Duration::from_secs(60);
const ONE_DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The tokens of one login, from the provider's token response.
///
/// Make one with [`TokenSet::from_response`] in the callback of your login, and give it to
/// [`log_in`](crate::TokenRefresher::log_in).
///
/// | field of the response | rule |
/// |---|---|
/// | `access_token` | required; visible ASCII, because it goes into a header (RFC 6750, 2.1) |
/// | `token_type` | `DPoP` needs a [key](Self::with_dpop_key) (RFC 9449); a type whose tokens need another proof of possession is refused; anything else is bearer |
/// | `expires_in` | seconds: a number or a string of one; 0 or less means that it has expired. Anything else counts as absent. The `exp` of a JWT counts where this is absent, or where it is earlier and was not over at birth |
/// | `refresh_token`, `id_token` | empty, and what is no string, counts as absent |
/// | `refresh_expires_in`, `refresh_token_expires_in` | seconds above 0; anything else (also Keycloak's 0) means "no limit known" |
/// | `scope` | words separated by spaces, or a list of words |
///
/// RFC 6749 is stricter, and many providers are not: a token that was given must not get lost
/// because another field looks odd. The body may also be a form, as GitHub sends it, or keep its
/// tokens in `data` or `authed_user`. If a field comes twice, the last one counts.
///
/// `Debug` shows no token, and there is no `Serialize`: only this crate stores tokens.
#[derive(Clone)]
pub struct TokenSet {
    pub(crate) access_token: HeaderToken,
    pub(crate) dpop_key: Option<DpopKey>,
    pub(crate) refresh_token: Option<SecretString>,
    pub(crate) id_token: Option<SecretString>,
    pub(crate) scope: Option<String>,
    pub(crate) expires_in: Option<Duration>,
    pub(crate) refresh_expires_in: Option<Duration>,
    /// As the application says.
    pub(crate) issuer: Option<Arc<str>>,
    pub(crate) subject: Option<String>,
    pub(crate) sid: Option<String>,
    /// Claims, as the application says: a JSON object.
    pub(crate) identity: Option<Arc<str>>,
    pub(crate) obtained_at: Option<SystemTime>,
    /// As the application says.
    pub(crate) expires_at: Option<SystemTime>,
    /// As the access token itself says, by the provider's clock.
    pub(crate) jwt_expires_at: Option<SystemTime>,
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
        token_response::read(body.as_ref(), true).map_err(|unusable| unusable.error)
    }

    /// The access token, for the `at_hash` of the ID token (OpenID Connect Core 1.0, 3.1.3.8).
    /// Handle with care: whoever has it is the user.
    #[must_use]
    pub fn access_token(&self) -> &str {
        self.access_token.expose()
    }

    /// The ID token, if the provider sent one. Nobody has verified it: verify it in the callback of
    /// your login, before [`log_in`](crate::TokenRefresher::log_in) (OpenID Connect Core 1.0,
    /// 3.1.3.7).
    #[must_use]
    pub fn id_token(&self) -> Option<&str> {
        self.id_token.as_ref().map(ExposeSecret::expose_secret)
    }

    /// Names the user, unique at the issuer. It overrides what the tokens say. If the login has no
    /// ID token, an ID token that comes with a refresh must have this `sub`, or the login ends.
    #[must_use]
    pub fn with_subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Says who the user is, for [`Identity`](crate::Identity), where that is not in the ID token:
    /// the answer of a userinfo endpoint, or of a provider's own API. It is stored with the tokens,
    /// sealed if they are, and stays as it is for as long as the login lasts.
    ///
    /// # Errors
    /// `claims` do not serialize to a JSON object.
    pub fn with_identity(mut self, claims: impl Serialize) -> Result<Self, TokenSetError> {
        self.identity = Some(json!(claims_of("identity", claims)?).to_string().into());
        Ok(self)
    }

    /// Names the provider that the tokens are from, where the refresher has several by an
    /// [`EndpointResolver`](crate::EndpointResolver). Without it, they are from the one that the
    /// refresher was built with.
    #[must_use]
    pub fn with_issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into().into());
        self
    }

    /// Names the key whose proof was sent with the request for these tokens (DPoP; RFC 9449, section
    /// 5). Tokens of the type `DPoP` need it, and [`log_in`](crate::TokenRefresher::log_in) refuses
    /// them without it. The key is stored with the tokens, sealed if they are.
    #[must_use]
    pub fn with_dpop_key(mut self, key: DpopKey) -> Self {
        self.dpop_key = Some(key);
        self
    }

    /// What is left where the access token cannot be used.
    pub(crate) fn into_new_refresh_token(self) -> Option<NewRefreshToken> {
        let expires_in = self.refresh_expires_in;
        self.refresh_token.map(|token| NewRefreshToken { token, expires_in })
    }

    /// Whether the access token is bound to a key that nobody has named.
    pub(crate) fn lacks_dpop_key(&self) -> bool {
        self.access_token.scheme() == Scheme::Dpop && self.dpop_key.is_none()
    }

    /// Sets how long the refresh token lives, counted as `expires_in` is. The standard response types
    /// of `openidconnect` and `oauth2` drop what the provider says of it. Without it, an unused login
    /// stays in the token store for 30 days.
    #[must_use]
    pub fn with_refresh_expires_in(mut self, life: Duration) -> Self {
        self.refresh_expires_in = Some(life.min(LONGEST_LIFE));
        self
    }

    /// Sets when the token request was *sent*: `expires_in` counts from then. Without it, it counts
    /// from the login.
    #[must_use]
    pub fn with_obtained_at(mut self, at: SystemTime) -> Self {
        self.obtained_at = Some(at);
        self
    }

    /// Judges a JWT by the provider's own clock if ours leaves it less than a minute, and less than
    /// half of what the provider's does: then ours is ahead. If the provider's would leave it more
    /// than a day, that one is wrong. `date`: when the provider answered a request that was sent at
    /// `sent_at`.
    pub(crate) fn with_provider_date(
        mut self,
        date: Option<SystemTime>,
        sent_at: SystemTime,
    ) -> Self {
        if let (Some(exp), Some(date)) = (self.jwt_expires_at, date)
            && let Ok(life) = exp.duration_since(date)
            && life < ONE_DAY
            && let left = exp.duration_since(sent_at).unwrap_or_default()
            && left < ONE_MINUTE
            && life > left * 2
        {
            self.jwt_expires_at = Some(saturating_add(sent_at, life));
        }
        self
    }

    /// Sets when the access token expires. It overrides `expires_in` and the `exp` of a JWT.
    #[must_use]
    pub fn with_expires_at(mut self, at: SystemTime) -> Self {
        self.expires_at = Some(at);
        self
    }
}

/// What the application says of a user.
pub(crate) fn claims_of(
    field: &'static str,
    claims: impl Serialize,
) -> Result<Map<String, Value>, TokenSetError> {
    // The error of a foreign `Serialize` may quote what it could not write.
    match serde_json::to_value(claims).map_err(|_| TokenSetError::NotSerializable)? {
        Value::Object(claims) => Ok(claims),
        _ => Err(TokenSetError::Field { field, rule: "is not a JSON object" }),
    }
}

impl fmt::Debug for TokenSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSet")
            .field("has_refresh_token", &self.refresh_token.is_some())
            .field("has_id_token", &self.id_token.is_some())
            .field("has_dpop_key", &self.dpop_key.is_some())
            .field("issuer", &self.issuer)
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
    /// It is neither a JSON object (RFC 6749, 5.1) nor a form with tokens.
    #[error("the token response is not a JSON object (line {line}, column {column})")]
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

#[cfg(test)]
mod tests;
