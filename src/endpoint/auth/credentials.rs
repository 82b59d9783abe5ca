//! [`Credentials`]: what one request says of the client.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use url::form_urlencoded::{Serializer, byte_serialize};

use super::{signing_key::SigningError, source::SourceError};
use crate::endpoint::error::{EndpointError, EndpointErrorKind};

/// `client_assertion_type` (RFC 7523, section 2.2).
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What one request says of the client. Used once: an assertion is good for one request.
pub(in crate::endpoint) struct Credentials<'a> {
    pub(super) client_id: &'a str,
    pub(super) proof: Proof,
}

pub(super) enum Proof {
    /// A public client, or one whose certificate proves who it is.
    None,
    Basic(Arc<SecretString>),
    Post(Arc<SecretString>),
    Assertion(Arc<SecretString>),
}

/// Why there are no credentials for a request. It was not sent.
#[derive(Debug, thiserror::Error)]
pub(in crate::endpoint) enum CredentialsError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Signing(#[from] SigningError),
}

impl Credentials<'_> {
    /// Whether [`apply`](Self::apply) adds `client_id` to the form.
    #[cfg(feature = "login")]
    pub(in crate::endpoint) fn name_client(&self) -> bool {
        !matches!(self.proof, Proof::Basic(_))
    }

    /// Adds the credentials to the form, or returns them as an `Authorization` header.
    pub(in crate::endpoint) fn apply(
        self,
        form: &mut Serializer<'_, String>,
    ) -> Option<HeaderValue> {
        let is_basic = matches!(self.proof, Proof::Basic(_));
        if !is_basic {
            form.append_pair("client_id", self.client_id);
        }
        match self.proof {
            Proof::None => {}
            Proof::Post(secret) => {
                form.append_pair("client_secret", secret.expose_secret());
            }
            Proof::Assertion(jwt) => {
                form.append_pair("client_assertion_type", JWT_BEARER);
                form.append_pair("client_assertion", jwt.expose_secret());
            }
            Proof::Basic(secret) => {
                let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
                let pair = format!("{}:{}", encode(self.client_id), encode(secret.expose_secret()));
                // This is always `Some`, because base64 always fits into a header.
                let mut header =
                    HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair))).ok()?;
                header.set_sensitive(true);
                return Some(header);
            }
        }
        None
    }
}

impl From<CredentialsError> for EndpointError {
    fn from(error: CredentialsError) -> Self {
        Self::new(EndpointErrorKind::NoCredentials).with_source(error)
    }
}
