//! Logout tokens (OpenID Connect Back-Channel Logout 1.0).

use serde_json::{Value, json};
use uuid::Uuid;

use super::StrictIssuer;
use crate::clock::unix_seconds;

/// # Logout tokens
impl StrictIssuer {
    /// Makes a logout token for a user, a session (`sid`), or both. It ends nothing at the issuer;
    /// for that, see [`end_session`](Self::end_session).
    #[must_use]
    pub fn logout_token(&self, user: Option<&str>, sid: Option<&str>) -> String {
        self.sign_jwt(json!({ "typ": "logout+jwt" }), &self.logout_claims(user, sid))
    }

    /// The claims of a [`logout_token`](Self::logout_token), to change and to
    /// [sign](Self::sign_jwt).
    #[must_use]
    pub fn logout_claims(&self, user: Option<&str>, sid: Option<&str>) -> Value {
        let now = unix_seconds(self.now());
        let mut claims = json!({
            "iss": self.issuer_url(),
            "aud": self.inner.shape.client_id,
            "iat": now,
            "exp": now + 120,
            "jti": Uuid::new_v4().to_string(),
            "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
        });
        if let Some(user) = user {
            claims["sub"] = json!(self.subject_of(user));
        }
        if let Some(sid) = sid {
            claims["sid"] = json!(sid);
        }
        claims
    }
}
