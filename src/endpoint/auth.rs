//! [`ClientAuth`]: how this client proves who it is (RFC 6749, 2.3).

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use url::form_urlencoded::{Serializer, byte_serialize};

use crate::ConfigError;

/// How this client proves who it is at the token and revocation endpoints.
#[derive(Clone)]
pub struct ClientAuth {
    client_id: String,
    method: Method,
}

#[derive(Clone)]
enum Method {
    None,
    Basic(SecretString),
    Post(SecretString),
}

impl ClientAuth {
    /// A public client: `client_id` goes into the body, there is no secret (`none`).
    pub fn none(client_id: impl Into<String>) -> Self {
        Self { client_id: client_id.into(), method: Method::None }
    }

    /// Id and secret in the `Authorization` header (`client_secret_basic`), which every provider must support. Both are
    /// form-encoded before base64, as RFC 6749, 2.3.1 says; for a provider that does not decode them, use
    /// [`post`](Self::post).
    pub fn basic(client_id: impl Into<String>, secret: impl Into<SecretString>) -> Self {
        Self { client_id: client_id.into(), method: Method::Basic(secret.into()) }
    }

    /// Id and secret in the body (`client_secret_post`).
    pub fn post(client_id: impl Into<String>, secret: impl Into<SecretString>) -> Self {
        Self { client_id: client_id.into(), method: Method::Post(secret.into()) }
    }

    /// An unset environment variable easily becomes an empty secret; better to hear of it now than at the first refresh.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let empty =
            |what| ConfigError::Range { what, value: "empty".into(), rule: "must not be empty" };
        if self.client_id.is_empty() {
            return Err(empty("the client id"));
        }
        match &self.method {
            Method::Basic(secret) | Method::Post(secret) if secret.expose_secret().is_empty() => {
                Err(empty("the client secret"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Adds to the form what belongs there, and returns what belongs into the `Authorization` header.
    pub(super) fn apply(&self, form: &mut Serializer<'_, String>) -> Option<HeaderValue> {
        match &self.method {
            Method::None => {
                form.append_pair("client_id", &self.client_id);
                None
            }
            Method::Post(secret) => {
                form.append_pair("client_id", &self.client_id);
                form.append_pair("client_secret", secret.expose_secret());
                None
            }
            Method::Basic(secret) => {
                let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
                let pair =
                    format!("{}:{}", encode(&self.client_id), encode(secret.expose_secret()));
                // Base64 always fits into a header, so this is always `Some`.
                let mut header =
                    HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair))).ok()?;
                header.set_sensitive(true);
                Some(header)
            }
        }
    }
}

impl fmt::Debug for ClientAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = match self.method {
            Method::None => "none",
            Method::Basic(_) => "client_secret_basic",
            Method::Post(_) => "client_secret_post",
        };
        f.debug_struct("ClientAuth")
            .field("client_id", &self.client_id)
            .field("method", &method)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(auth: &ClientAuth) -> (Option<HeaderValue>, String) {
        let mut form = Serializer::new(String::new());
        let header = auth.apply(&mut form);
        (header, form.finish())
    }

    #[test]
    fn basic_form_encodes_before_base64() {
        let (header, form) = apply(&ClientAuth::basic("my app:1", "p@ss +%\u{e4}"));
        let header = header.unwrap();
        assert!(header.is_sensitive() && form.is_empty());
        let encoded = header.to_str().unwrap().strip_prefix("Basic ").unwrap();
        let pair = String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap();
        assert_eq!(pair, "my+app%3A1:p%40ss+%2B%25%C3%A4");
    }

    #[test]
    fn post_and_none_go_into_the_body() {
        let (header, form) = apply(&ClientAuth::post("app", String::from("s&c=t")));
        assert!(header.is_none());
        assert_eq!(form, "client_id=app&client_secret=s%26c%3Dt");

        let (header, form) = apply(&ClientAuth::none("app"));
        assert!(header.is_none());
        assert_eq!(form, "client_id=app");
    }

    #[test]
    fn empty_credentials_are_a_config_error() {
        assert!(ClientAuth::none("").check().is_err());
        assert!(ClientAuth::basic("app", "").check().is_err());
        assert!(ClientAuth::post("app", "").check().is_err());
        assert!(ClientAuth::basic("app", "s").check().is_ok());
    }

    #[test]
    fn debug_shows_no_secret() {
        for auth in [ClientAuth::basic("app", "hunter2"), ClientAuth::post("app", "hunter2")] {
            assert!(!format!("{auth:?}").contains("hunter2"));
            assert!(!format!("{:?}", apply(&auth).0).contains("hunter2"));
        }
    }
}
