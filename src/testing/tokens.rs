//! The token strings: Keycloak-shaped JWTs signed with the issuer's key, or opaque ones.

use std::time::{Duration, SystemTime};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use uuid::Uuid;

use super::signing::{SigningKey, segment};
use crate::clock::unix_seconds;

/// The format and the claims of the tokens.
pub(super) struct TokenShape {
    pub(super) client_id: String,
    pub(super) access_lifetime: Duration,
    pub(super) refresh_lifetime: Duration,
    pub(super) realm_roles: Vec<String>,
    pub(super) client_roles: Vec<String>,
    pub(super) opaque_access: bool,
    pub(super) opaque_refresh: bool,
    /// What opaque access and refresh tokens begin with.
    pub(super) prefixes: (&'static str, &'static str),
    pub(super) id_tokens: bool,
    /// `sid` in every token of a session.
    pub(super) names_session: bool,
}

/// For whom tokens are made, and when.
pub(super) struct Grantee<'a> {
    pub(super) issuer: &'a str,
    pub(super) user: &'a str,
    pub(super) subject: &'a str,
    pub(super) sid: Option<&'a str>,
    pub(super) scope: &'a str,
    pub(super) now: SystemTime,
    pub(super) key: &'a SigningKey,
    /// The thumbprint of the key that the access token is bound to.
    pub(super) jkt: Option<&'a str>,
}

impl TokenShape {
    /// `audience`: the APIs that it is good at; empty: as usual.
    pub(super) fn access_token(&self, to: &Grantee<'_>, audience: &[String]) -> String {
        if self.opaque_access {
            return opaque(self.prefixes.0);
        }
        let mut claims = self.common_claims(to, "Bearer", self.access_lifetime);
        claims["aud"] = if audience.is_empty() { json!("account") } else { json!(audience) };
        claims["realm_access"] = json!({ "roles": self.realm_roles });
        claims["resource_access"] =
            json!({ self.client_id.as_str(): { "roles": self.client_roles } });
        claims["allowed-origins"] = json!(["*"]);
        claims["acr"] = json!("1");
        if let Some(jkt) = to.jkt {
            claims["cnf"] = json!({ "jkt": jkt });
        }
        to.key.sign(json!({}), &claims)
    }

    pub(super) fn id_token(&self, to: &Grantee<'_>) -> Option<String> {
        self.id_claims(to).map(|claims| to.key.sign(json!({}), &claims))
    }

    fn id_claims(&self, to: &Grantee<'_>) -> Option<Value> {
        if !self.id_tokens
            || to.sid.is_none()
            || !to.scope.split(' ').any(|scope| scope == "openid")
        {
            return None;
        }
        let mut claims = self.common_claims(to, "ID", self.access_lifetime);
        claims["aud"] = json!(self.client_id);
        claims["auth_time"] = claims["iat"].clone();
        Some(claims)
    }

    /// The ID token of a code flow, which proves to the client that it is the answer to its
    /// request.
    pub(super) fn id_token_with_nonce(&self, to: &Grantee<'_>, nonce: &str) -> Option<String> {
        self.id_claims(to).map(|mut claims| {
            claims["nonce"] = json!(nonce);
            to.key.sign(json!({}), &claims)
        })
    }

    /// Nobody but the issuer reads a refresh token, so its signature is random bytes.
    pub(super) fn refresh_token(&self, to: &Grantee<'_>) -> String {
        if self.opaque_refresh {
            return opaque(self.prefixes.1);
        }
        let mut claims = self.common_claims(to, "Refresh", self.refresh_lifetime);
        claims["aud"] = json!(to.issuer);
        let noise = [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat();
        let header = json!({ "alg": "HS512", "typ": "JWT", "kid": "refresh" });
        format!(
            "{}.{}.{}",
            segment(&header),
            segment(&claims),
            BASE64_URL_SAFE_NO_PAD.encode(noise)
        )
    }

    fn common_claims(&self, to: &Grantee<'_>, typ: &str, lifetime: Duration) -> Value {
        let issued_at = unix_seconds(to.now);
        let mut claims = json!({
            "iss": to.issuer,
            "sub": to.subject,
            "azp": self.client_id,
            "iat": issued_at,
            "exp": issued_at + lifetime.as_secs(),
            "jti": Uuid::new_v4().to_string(),
            "typ": typ,
            "scope": to.scope,
            "preferred_username": to.user,
        });
        if let Some(sid) = to.sid.filter(|_| self.names_session) {
            claims["sid"] = json!(sid);
        }
        claims
    }
}

fn opaque(prefix: &str) -> String {
    format!("{prefix}{}", Uuid::new_v4().simple())
}
