//! [`StandardClaims`]: what most providers say in an access token. Reading them never fails.

use std::{borrow::Cow, collections::HashMap, fmt};

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::lenient::{lenient_number, lenient_text, lenient_texts, lenient_words};

/// The claims most providers put into an access token (RFC 7519, 4.1; RFC 9068, 2.2; OpenID Connect
/// Core, 5.1), with Keycloak's roles. For other claims, write a type of your own.
///
/// A claim that looks odd is never an error: a route that does not use it must not fail for it.
///
/// | claim | read as |
/// |---|---|
/// | text | a string; a whole number of at most 64 bits becomes text (`42` is `"42"`); anything else counts as absent |
/// | `aud` | one text or a list; members of a list that are no text are left out |
/// | `exp`, `iat`, `nbf`, `auth_time` | a number of seconds, or a string of one; anything else counts as absent |
/// | `scope` | words, or a list of strings; anything else counts as absent |
/// | roles | lists of strings in objects; anything else is no role |
///
/// What is absent is `None` or empty. If a claim comes twice, the last one counts (RFC 7519, 4).
///
/// `Debug` leaves out what identifies the user and the login (`sub`, `sid`, `jti`, names and
/// e-mail).
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StandardClaims {
    /// Who issued the token.
    pub iss: Option<String>,
    /// The user, unique at the issuer.
    pub sub: Option<String>,
    /// The audience. One string in the token counts as a list of one.
    pub aud: Vec<String>,
    /// When it expires, in seconds since 1970; a fraction is cut off.
    pub exp: Option<u64>,
    /// When it was issued, in seconds since 1970.
    pub iat: Option<u64>,
    /// When it begins to be valid, in seconds since 1970.
    pub nbf: Option<u64>,
    /// The token's own identifier.
    pub jti: Option<String>,
    /// The client that it was issued to.
    pub azp: Option<String>,
    /// When the user proved to the provider who it is, in seconds since 1970 (OpenID Connect Core,
    /// 2).
    pub auth_time: Option<u64>,
    /// How well the user proved it, in words of the provider (OpenID Connect Core, 2).
    pub acr: Option<String>,
    /// The login at the provider (OpenID Connect Back-Channel Logout, 2.1).
    pub sid: Option<String>,
    /// The scopes, separated by spaces. A list in the token is joined.
    pub scope: Option<String>,
    /// The name that the user logs in with. It may change, and may not be unique.
    pub preferred_username: Option<String>,
    /// The user's e-mail address. It may change, and may be neither unique nor verified.
    pub email: Option<String>,
    /// The user's full name.
    pub name: Option<String>,
    /// Keycloak: the roles in the realm.
    pub realm_access: Roles,
    /// Keycloak: the roles at each client, by client id.
    pub resource_access: HashMap<String, Roles>,
}

/// Keycloak's list of roles. What is no list of roles is read as an empty one, never as an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Roles {
    /// The names of the roles, in the token's order.
    pub roles: Vec<String>,
}

impl StandardClaims {
    fn of(claims: &Map<String, Value>) -> Self {
        let text = |name| claims.get(name).and_then(lenient_text).map(Cow::into_owned);
        let seconds = |name| claims.get(name).and_then(seconds);
        let audience = claims.get("aud").map(lenient_texts).unwrap_or_default();
        Self {
            iss: text("iss"),
            sub: text("sub"),
            aud: audience.into_iter().map(Cow::into_owned).collect(),
            exp: seconds("exp"),
            iat: seconds("iat"),
            nbf: seconds("nbf"),
            jti: text("jti"),
            azp: text("azp"),
            auth_time: seconds("auth_time"),
            acr: text("acr"),
            sid: text("sid"),
            scope: claims.get("scope").and_then(lenient_words),
            preferred_username: text("preferred_username"),
            email: text("email"),
            name: text("name"),
            realm_access: claims.get("realm_access").map(Roles::of).unwrap_or_default(),
            resource_access: by_client(claims.get("resource_access")),
        }
    }

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
    /// Deliberately strict about the names: a right is not given for what only looks like one.
    fn of(value: &Value) -> Self {
        let names = value.get("roles").and_then(Value::as_array).into_iter().flatten();
        Self { roles: names.filter_map(Value::as_str).map(str::to_owned).collect() }
    }

    fn contains(&self, role: &str) -> bool {
        self.roles.iter().any(|name| name == role)
    }
}

/// The cast cuts the fraction off and stops at the end of u64.
fn seconds(value: &Value) -> Option<u64> {
    lenient_number(value).filter(|number| *number >= 0.0).map(|number| number as u64)
}

fn by_client(value: Option<&Value>) -> HashMap<String, Roles> {
    let clients = value.and_then(Value::as_object).into_iter().flatten();
    let clients = clients.filter(|(_, roles)| roles.is_object());
    clients.map(|(client, roles)| (client.clone(), Roles::of(roles))).collect()
}

impl<'de> Deserialize<'de> for StandardClaims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Map::deserialize(deserializer).map(|claims| Self::of(&claims))
    }
}

impl<'de> Deserialize<'de> for Roles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(|roles| Self::of(&roles))
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
