//! [`ClientAuth`]: how this application authenticates at the provider.
//!
//! | method | client id | proof | defined in |
//! |---|---|---|---|
//! | `none` | in the form | none | RFC 6749, 2.1 |
//! | `client_secret_basic` | in the `Authorization` header | there as well | RFC 6749, 2.3.1 |
//! | `client_secret_post` | in the form | there as well | RFC 6749, 2.3.1 |
//! | `client_secret_jwt` | in the form and the assertion | the assertion, signed by the secret | OpenID Connect Core, 9 |
//! | `private_key_jwt` | in the form and the assertion | the assertion, signed by the key | RFC 7523, 2.2 |
//! | a federated token | in the form | the assertion, which somebody else has signed | RFC 7523, 2.2 |
//! | `tls_client_auth`, `self_signed_tls_client_auth` | in the form | the certificate of the connection | RFC 8705, 2 |
//!
//! ```text
//! mod             the method, its checks, and what to change if it is refused
//!   source        where a secret or a key comes from: a value, a file, a function
//!   signing_key   a private key from PEM or a JWK
//!   assertion     the claims of a client assertion
//!   credentials   what one request says of the client
//!   certificate   the certificate of the default transport
//! ```
//!
//! What a method puts into the form is also in [`OWN_PARAMS`](super::request::OWN_PARAMS), so that
//! nobody sets it twice.

use std::{fmt, sync::Arc, time::SystemTime};

use http::Uri;

pub(super) use self::assertion::BACKDATED;
pub use self::{
    assertion::AssertionAudience,
    signing_key::{SigningAlgorithm, SigningKey},
    source::{SecretSource, SigningKeySource},
};
use self::{assertion::Claims, credentials::Proof};
pub(super) use self::{
    certificate::{ClientCertificate, broken as broken_certificate},
    credentials::{Credentials, CredentialsError},
};
use super::error::{EndpointError, EndpointErrorKind};
use crate::ConfigError;

mod assertion;
mod certificate;
mod credentials;
mod signing_key;
mod source;

/// How this application authenticates at the token and revocation endpoints.
///
/// | constructor | method | what it needs |
/// |---|---|---|
/// | [`none`](Self::none) | `none` | |
/// | [`basic`](Self::basic) | `client_secret_basic` | a secret |
/// | [`post`](Self::post) | `client_secret_post` | a secret |
/// | [`client_secret_jwt`](Self::client_secret_jwt) | `client_secret_jwt` | a secret, which is not sent |
/// | [`private_key_jwt`](Self::private_key_jwt) | `private_key_jwt` | a private key |
/// | [`federated`](Self::federated) | an assertion of somebody else | a token |
/// | [`mutual_tls`](Self::mutual_tls) | `tls_client_auth`, `self_signed_tls_client_auth` | a certificate |
///
/// A secret is a `&str`, a `String`, or a [`SecretSource`], and a key is a [`SigningKey`] or a
/// [`SigningKeySource`]: the sources can change while the application runs. If one fails, the request
/// is not sent, and the error is [`Unavailable`](crate::RefreshErrorKind::Unavailable).
#[derive(Clone)]
pub struct ClientAuth {
    client_id: String,
    method: Method,
    audience: AssertionAudience,
}

#[derive(Clone)]
enum Method {
    None,
    Basic(SecretSource),
    Post(SecretSource),
    SecretJwt(SecretSource),
    PrivateKeyJwt(SigningKeySource),
    Federated(SecretSource),
    MutualTls,
}

/// For whom a request is.
pub(super) struct Recipient<'a> {
    /// Where it goes.
    pub(super) endpoint: &'a Uri,
    pub(super) token_endpoint: &'a Uri,
    pub(super) issuer: Option<&'a str>,
    pub(super) now: SystemTime,
}

impl ClientAuth {
    /// A public client without a secret (`none`): the client id goes into the form.
    pub fn none(client_id: impl Into<String>) -> Self {
        Self::new(client_id, Method::None)
    }

    /// Client id and secret in the `Authorization` header (`client_secret_basic`), which every
    /// provider must support. Both are form-encoded before base64, as RFC 6749, section 2.3.1
    /// requires. For a provider that does not decode them, use [`post`](Self::post).
    pub fn basic(client_id: impl Into<String>, secret: impl Into<SecretSource>) -> Self {
        Self::new(client_id, Method::Basic(secret.into()))
    }

    /// Client id and secret in the form (`client_secret_post`).
    pub fn post(client_id: impl Into<String>, secret: impl Into<SecretSource>) -> Self {
        Self::new(client_id, Method::Post(secret.into()))
    }

    /// A JWT signed by the secret with HS256 (`client_secret_jwt`; OpenID Connect Core 1.0, section
    /// 9). The secret itself is not sent. It should have at least 32 random bytes (section 16.19):
    /// whoever reads one assertion can try out shorter ones.
    pub fn client_secret_jwt(
        client_id: impl Into<String>,
        secret: impl Into<SecretSource>,
    ) -> Self {
        Self::new(client_id, Method::SecretJwt(secret.into()))
    }

    /// A JWT signed by a private key, of which the provider knows the public half
    /// (`private_key_jwt`; RFC 7523, section 2.2; OpenID Connect Core 1.0, section 9).
    ///
    /// Each request has a new one, with a random `jti` and 60 s to live. See also
    /// [`assertion_audience`](Self::assertion_audience).
    pub fn private_key_jwt(client_id: impl Into<String>, key: impl Into<SigningKeySource>) -> Self {
        Self::new(client_id, Method::PrivateKeyJwt(key.into()))
    }

    /// A JWT that somebody else has issued to this workload, sent as it is (RFC 7523, section 2.2):
    /// Entra's workload identity federation, or Keycloak's federated client authentication. There
    /// is no secret to keep.
    ///
    /// ```
    /// use tower_token_refresh::{ClientAuth, SecretSource};
    ///
    /// # fn auth(client_id: String, path: String) -> ClientAuth {
    /// // AZURE_CLIENT_ID and AZURE_FEDERATED_TOKEN_FILE
    /// ClientAuth::federated(client_id, SecretSource::file(path))
    /// # }
    /// ```
    ///
    /// Whoever issues the token decides its claims, so `assertion_audience` does not matter here.
    pub fn federated(client_id: impl Into<String>, token: impl Into<SecretSource>) -> Self {
        Self::new(client_id, Method::Federated(token.into()))
    }

    /// The certificate of the TLS connection (`tls_client_auth` and `self_signed_tls_client_auth`;
    /// RFC 8705, section 2); the client id goes into the form. Set the certificate by
    /// [`TokenEndpoint::client_certificate`](crate::TokenEndpoint::client_certificate). A transport
    /// of your own brings its own.
    pub fn mutual_tls(client_id: impl Into<String>) -> Self {
        Self::new(client_id, Method::MutualTls)
    }

    /// Sets for whom the JWTs of [`private_key_jwt`](Self::private_key_jwt) and
    /// [`client_secret_jwt`](Self::client_secret_jwt) are. The token endpoint, unless it is set.
    #[must_use]
    pub fn assertion_audience(mut self, audience: AssertionAudience) -> Self {
        self.audience = audience;
        self
    }

    fn new(client_id: impl Into<String>, method: Method) -> Self {
        Self { client_id: client_id.into(), method, audience: AssertionAudience::default() }
    }

    /// Rejects empty values: an unset environment variable easily becomes an empty secret, and the
    /// first refresh is a bad time to find out. For the same reason it reads the files, on this
    /// thread.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let empty =
            |what| ConfigError::Range { what, value: "empty".into(), rule: "must not be empty" };
        if self.client_id.is_empty() {
            return Err(empty("the client id"));
        }
        if self.audience == AssertionAudience::Other(String::new()) {
            return Err(empty("assertion_audience"));
        }
        match &self.method {
            Method::None | Method::MutualTls => Ok(()),
            Method::Basic(secret) | Method::Post(secret) | Method::SecretJwt(secret) => {
                secret.check("the client secret")
            }
            Method::Federated(token) => token.check("the federated token"),
            Method::PrivateKeyJwt(key) => key.check("the signing key"),
        }
    }

    /// Whether the issuer must be known, as it is the audience of an assertion.
    pub(super) fn needs_issuer(&self) -> bool {
        let signs = matches!(self.method, Method::SecretJwt(_) | Method::PrivateKeyJwt(_));
        signs && self.audience == AssertionAudience::Issuer
    }

    pub(super) fn is_mutual_tls(&self) -> bool {
        matches!(self.method, Method::MutualTls)
    }

    pub(crate) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// What the next request to `recipient` says of this client. A retry needs new ones.
    pub(super) async fn credentials(
        &self,
        recipient: &Recipient<'_>,
    ) -> Result<Credentials<'_>, CredentialsError> {
        let proof = match &self.method {
            Method::None | Method::MutualTls => Proof::None,
            Method::Basic(secret) => Proof::Basic(secret.get().await?),
            Method::Post(secret) => Proof::Post(secret.get().await?),
            Method::Federated(token) => Proof::Assertion(token.get().await?),
            Method::SecretJwt(secret) => {
                let secret = secret.get().await?;
                Proof::Assertion(Arc::new(self.claims(recipient).signed_by_secret(&secret)?))
            }
            Method::PrivateKeyJwt(key) => {
                let key = key.get().await?;
                Proof::Assertion(Arc::new(self.claims(recipient).signed_by_key(&key)?))
            }
        };
        Ok(Credentials { client_id: &self.client_id, proof })
    }

    fn claims(&self, recipient: &Recipient<'_>) -> Claims<'_> {
        let audience = match &self.audience {
            AssertionAudience::TokenEndpoint => recipient.token_endpoint.to_string(),
            AssertionAudience::RequestedEndpoint => recipient.endpoint.to_string(),
            // Building the refresher has found that there is one.
            AssertionAudience::Issuer => recipient.issuer.unwrap_or_default().to_owned(),
            AssertionAudience::Other(audience) => audience.clone(),
        };
        Claims::new(&self.client_id, audience, recipient.now)
    }

    /// Explains an error that means that the provider does not accept this client. The hint names
    /// the client id and the setting to change, never the secret.
    ///
    /// `grant`: the `grant_type` of the request, if it had one.
    pub(crate) fn explain(&self, error: EndpointError, grant: Option<&str>) -> EndpointError {
        let EndpointErrorKind::Rejected { code } = error.kind() else { return error };
        let grant = match (*code, grant) {
            ("invalid_client", _) | ("unauthorized_client", None) => String::new(),
            // Keycloak sends this for a wrong secret as well.
            ("unauthorized_client", Some(grant)) => {
                format!(", and whether the client may use the {grant} grant")
            }
            _ => return error,
        };
        let check = match self.method {
            Method::None => "id in `ClientAuth::none`, whether the client needs a secret",
            Method::Basic(_) => "id and secret in `ClientAuth::basic`",
            Method::Post(_) => "id and secret in `ClientAuth::post`",
            Method::SecretJwt(_) => {
                "id and secret in `ClientAuth::client_secret_jwt`, `assertion_audience`, and this \
                 machine's clock"
            }
            Method::PrivateKeyJwt(_) => {
                "id and key in `ClientAuth::private_key_jwt`, the key's algorithm and key id, \
                 `assertion_audience`, and this machine's clock"
            }
            Method::Federated(_) => {
                "id and token in `ClientAuth::federated`, and whether the provider trusts the \
                 token's issuer, subject and audience"
            }
            Method::MutualTls => {
                "id in `ClientAuth::mutual_tls`, and whether the provider sees and knows the \
                 certificate"
            }
        };
        let id = &self.client_id;
        error.with_hint(format!("it does not accept the client {id:?}: check {check}{grant}"))
    }
}

impl fmt::Debug for ClientAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = match self.method {
            Method::None => "none",
            Method::Basic(_) => "client_secret_basic",
            Method::Post(_) => "client_secret_post",
            Method::SecretJwt(_) => "client_secret_jwt",
            Method::PrivateKeyJwt(_) => "private_key_jwt",
            Method::Federated(_) => "a federated token",
            Method::MutualTls => "tls_client_auth",
        };
        f.debug_struct("ClientAuth")
            .field("client_id", &self.client_id)
            .field("method", &method)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
