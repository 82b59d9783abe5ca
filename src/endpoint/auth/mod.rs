//! [`ClientAuth`]: how this application authenticates at the provider (RFC 6749, section 2.3).
//!
//! | method | client id | secret |
//! |---|---|---|
//! | `none` | in the form | none |
//! | `client_secret_basic` | in the `Authorization` header | there as well |
//! | `client_secret_post` | in the form | there as well |

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use url::form_urlencoded::{Serializer, byte_serialize};

pub use self::signing_key::{SigningAlgorithm, SigningKey};
use super::error::{EndpointError, EndpointErrorKind};
use crate::ConfigError;

mod signing_key;

/// How this application authenticates at the token and revocation endpoints.
///
/// The constructors accept `&str`, `String` and `&String`.
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
    /// A public client without a secret (`none`): the client id goes into the form.
    pub fn none(client_id: impl Into<String>) -> Self {
        Self { client_id: client_id.into(), method: Method::None }
    }

    /// Client id and secret in the `Authorization` header (`client_secret_basic`), which every
    /// provider must support. Both are form-encoded before base64, as RFC 6749, section 2.3.1
    /// requires. For a provider that does not decode them, use [`post`](Self::post).
    pub fn basic(client_id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { client_id: client_id.into(), method: Method::Basic(secret.into().into()) }
    }

    /// Client id and secret in the form (`client_secret_post`).
    pub fn post(client_id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { client_id: client_id.into(), method: Method::Post(secret.into().into()) }
    }

    /// Rejects empty values: an unset environment variable easily becomes an empty secret, and the
    /// first refresh is a bad time to find out.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
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

    pub(crate) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Explains an error that means that the provider does not accept this client. The hint names
    /// the client id and the setting to change, never the secret.
    pub(crate) fn explain(&self, error: EndpointError) -> EndpointError {
        let EndpointErrorKind::Rejected { code } = error.kind() else { return error };
        let grant = match *code {
            "invalid_client" => "",
            // Keycloak sends this for a wrong secret as well.
            "unauthorized_client" => ", and whether the client may use the refresh_token grant",
            _ => return error,
        };
        let check = match self.method {
            Method::None => "id in `ClientAuth::none`, whether the client needs a secret",
            Method::Basic(_) => "id and secret in `ClientAuth::basic`",
            Method::Post(_) => "id and secret in `ClientAuth::post`",
        };
        let id = &self.client_id;
        error.with_hint(format!("it does not accept the client {id:?}: check {check}{grant}"))
    }

    /// Adds the credentials to the form, or returns them as an `Authorization` header.
    pub(crate) fn apply(&self, form: &mut Serializer<'_, String>) -> Option<HeaderValue> {
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
                // This is always `Some`, because base64 always fits into a header.
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
mod tests;
