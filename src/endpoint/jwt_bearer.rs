//! [`JwtBearer`]: an assertion that this application signs, as a grant (RFC 7523, section 2.1).

use std::{fmt, time::Duration};

use http::Uri;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    auth::{BACKDATED, CredentialsError, SigningAlgorithm, SigningKey, SigningKeySource},
    error::EndpointError,
    target::TokenTarget,
};
use crate::{Clock, ConfigError, clock::unix_seconds};

/// How long an assertion is good: it is made for one request, and clocks differ.
const LIFE: Duration = Duration::from_secs(4 * 60);

/// An assertion signed by this application, which the provider takes for an access token (RFC 7523,
/// section 2.1): a service account of Google, or another provider that knows your key.
///
/// Each request has a new assertion: `iss` and `sub` as set here, `aud`, `iat`, `exp` in 4 min, and a
/// random `jti`. Give it to [`ServiceTokensBuilder::jwt_bearer`](crate::ServiceTokensBuilder::jwt_bearer).
///
/// This is not how a *client* authenticates with a key: for that see [`ClientAuth`](crate::ClientAuth).
///
/// `Debug` shows no key.
#[derive(Clone)]
pub struct JwtBearer {
    key: SigningKeySource,
    issuer: String,
    subject: Option<String>,
    audience: Option<String>,
    scope_in_assertion: bool,
}

/// The file that Google gives for a service account.
#[derive(Deserialize)]
struct GoogleKey {
    client_email: String,
    private_key: String,
    private_key_id: Option<String>,
}

impl JwtBearer {
    /// Signs with `key`. `issuer` is who signs: the provider knows the key by it.
    pub fn new(key: impl Into<SigningKeySource>, issuer: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            issuer: issuer.into(),
            subject: None,
            audience: None,
            scope_in_assertion: false,
        }
    }

    /// Reads the JSON key file of a Google service account. The endpoint is
    /// `https://oauth2.googleapis.com/token` with `ClientAuth::none` and the account's address; the
    /// [target](TokenTarget) must have a scope.
    ///
    /// ```no_run
    /// use tower_token_refresh::{ClientAuth, JwtBearer, ServiceTokens, TokenEndpoint, TokenTarget};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let auth = ClientAuth::none("mailer@my-project.iam.gserviceaccount.com");
    /// let endpoint = TokenEndpoint::new("https://oauth2.googleapis.com/token", auth);
    /// let tokens = ServiceTokens::builder(endpoint)
    ///     .jwt_bearer(JwtBearer::google(&std::fs::read_to_string("key.json")?)?)
    ///     .target(TokenTarget::new().scope("https://www.googleapis.com/auth/gmail.send"))
    ///     .build()?;
    /// # let _ = tokens;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// It is no such file, or its key cannot be read. The error shows nothing of it.
    pub fn google(key_file: &str) -> Result<Self, ConfigError> {
        // The parser's own error may quote the file.
        let key: GoogleKey = serde_json::from_str(key_file).map_err(|_| ConfigError::Range {
            what: "the key file of a Google service account",
            value: "no such file".into(),
            rule: "must be JSON with client_email and private_key",
        })?;
        let mut signing = SigningKey::from_pem(&key.private_key, SigningAlgorithm::Rs256)?;
        if let Some(id) = key.private_key_id {
            signing = signing.key_id(id);
        }
        Ok(Self::new(signing, key.client_email).scope_in_assertion())
    }

    /// Sets the `sub`: the user in whose name the application acts, if the provider allows that.
    /// Without it, it is the issuer.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Sets the `aud`. Without it, it is the URL of the token endpoint, as RFC 7523 (section 3)
    /// recommends.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// Puts the scope into the assertion as well as into the form. Google reads it there.
    #[must_use]
    pub fn scope_in_assertion(mut self) -> Self {
        self.scope_in_assertion = true;
        self
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let texts = [
            ("the issuer of a JwtBearer", Some(&self.issuer)),
            ("the subject of a JwtBearer", self.subject.as_ref()),
            ("the audience of a JwtBearer", self.audience.as_ref()),
        ];
        match texts.into_iter().find(|(_, text)| text.is_some_and(String::is_empty)) {
            Some((what, _)) => {
                let rule = "must not be empty";
                Err(ConfigError::Range { what, value: "empty".into(), rule })
            }
            None => self.key.check("the key of a JwtBearer"),
        }
    }

    pub(super) async fn assertion(
        &self,
        to: &Uri,
        target: &TokenTarget,
        clock: &Clock,
    ) -> Result<SecretString, EndpointError> {
        let now = clock.now();
        let mut claims = json!({
            "iss": self.issuer,
            "sub": self.subject.as_ref().unwrap_or(&self.issuer),
            "aud": self.audience.clone().unwrap_or_else(|| to.to_string()),
            "iat": unix_seconds(now - BACKDATED),
            "exp": unix_seconds(now + LIFE),
            "jti": Uuid::new_v4().to_string(),
        });
        if let Some(scope) = target.scope_value().filter(|_| self.scope_in_assertion) {
            claims["scope"] = Value::from(scope);
        }
        let key = self.key.get().await.map_err(CredentialsError::from)?;
        let signed = key.sign(&claims).map_err(CredentialsError::from)?;
        Ok(signed.into())
    }
}

impl fmt::Debug for JwtBearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtBearer")
            .field("issuer", &self.issuer)
            .field("subject", &self.subject)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}
