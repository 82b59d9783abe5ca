//! What a granted token request brings, before a provider's dialect writes it down.

use std::time::SystemTime;

use serde_json::{Value, json};

/// The tokens of one grant.
pub(super) struct Answer {
    pub(super) grant: Grant,
    pub(super) subject: String,
    /// The session, unless the client asked for itself.
    pub(super) sid: Option<String>,
    pub(super) access_token: String,
    /// The access token is bound to a key.
    pub(super) is_dpop: bool,
    pub(super) expires_in: u64,
    pub(super) scope: String,
    pub(super) refresh_token: Option<Named>,
    pub(super) id_token: Option<String>,
}

/// A refresh token that the answer names.
pub(super) struct Named {
    pub(super) token: String,
    pub(super) expires_in: u64,
}

impl Named {
    pub(super) fn new(token: String, (now, expires_at): (SystemTime, SystemTime)) -> Self {
        let left = expires_at.duration_since(now).unwrap_or_default();
        Self { token, expires_in: left.as_secs() }
    }
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grant {
    Login,
    Refresh,
    Client,
    Exchange,
}

impl Answer {
    /// As RFC 6749 (5.1) and OpenID Connect Core (3.1.3.3) have it. The dialects begin with this.
    pub(super) fn standard(&self) -> Value {
        let mut body = self.without_scope();
        body["scope"] = json!(self.scope);
        body
    }

    /// The standard answer of a provider that does not say what was granted.
    pub(super) fn without_scope(&self) -> Value {
        let mut body = json!({
            "access_token": self.access_token,
            "expires_in": self.expires_in,
            "token_type": if self.is_dpop { "DPoP" } else { "Bearer" },
        });
        if let Some(named) = &self.refresh_token {
            body["refresh_token"] = json!(named.token);
        }
        if let Some(id_token) = &self.id_token {
            body["id_token"] = json!(id_token);
        }
        body
    }
}
