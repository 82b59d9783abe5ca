//! [`Discover`]: a [`TokenEndpoint`] whose discovery document is not fetched yet.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    time::Duration,
};

use super::{
    classify::{AnswerMeaning, ProviderAnswer},
    discovery::DiscoveryError,
    resilience::ProviderLimits,
    token_endpoint::TokenEndpoint,
    transport::Transport,
};

/// A [`TokenEndpoint`] to find by discovery: `.await` it to fetch the document now, or call
/// [`lazy`](Self::lazy) to fetch it at first use.
///
/// ```no_run
/// # use tower_token_refresh::{ClientAuth, DiscoveryError, TokenEndpoint};
/// # async fn start() -> Result<(), DiscoveryError> {
/// let auth = ClientAuth::none("my-app");
/// let endpoint = TokenEndpoint::discover("https://id.example/realms/a", auth).await?;
/// # Ok(()) }
/// ```
///
/// The other settings of a [`TokenEndpoint`], such as the URLs that override discovered ones, come
/// after that.
#[derive(Debug, Clone)]
#[must_use = "discovery starts when it is awaited"]
pub struct Discover(TokenEndpoint);

impl Discover {
    pub(super) fn new(endpoint: TokenEndpoint) -> Self {
        Self(endpoint)
    }

    /// See [`TokenEndpoint::allow_http_to`]. It applies to the discovery document and to every URL
    /// in it.
    pub fn allow_http_to(self, host: impl AsRef<str>) -> Self {
        Self(self.0.allow_http_to(host))
    }

    /// See [`TokenEndpoint::accept_issuer`]. The discovery document may name this issuer, too.
    pub fn accept_issuer(self, issuer: impl Into<String>) -> Self {
        Self(self.0.accept_issuer(issuer))
    }

    pub(super) fn with(self, set: impl FnOnce(TokenEndpoint) -> TokenEndpoint) -> Self {
        Self(set(self.0))
    }

    /// See [`TokenEndpoint::user_agent`]. The request for the document has it, too.
    pub fn user_agent(self, value: impl Into<String>) -> Self {
        Self(self.0.user_agent(value))
    }

    /// See [`TokenEndpoint::header`]. The request for the document has it, too.
    pub fn header(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        Self(self.0.header(name, value))
    }

    /// See [`TokenEndpoint::refresh_param`].
    pub fn refresh_param(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        Self(self.0.refresh_param(name, value))
    }

    /// See [`TokenEndpoint::max_answer_bytes`].
    pub fn max_answer_bytes(self, bytes: usize) -> Self {
        Self(self.0.max_answer_bytes(bytes))
    }

    /// See [`TokenEndpoint::classify`].
    pub fn classify(
        self,
        classify: impl Fn(&ProviderAnswer<'_>) -> Option<AnswerMeaning> + Send + Sync + 'static,
    ) -> Self {
        Self(self.0.classify(classify))
    }

    /// See [`TokenEndpoint::request_timeout`].
    pub fn request_timeout(self, limit: Duration) -> Self {
        Self(self.0.request_timeout(limit))
    }

    /// See [`TokenEndpoint::connect_timeout`].
    pub fn connect_timeout(self, limit: Duration) -> Self {
        Self(self.0.connect_timeout(limit))
    }

    /// See [`TokenEndpoint::limits`].
    pub fn limits(self, limits: ProviderLimits) -> Self {
        Self(self.0.limits(limits))
    }

    /// See [`TokenEndpoint::client_certificate`]. The request for the document shows it, too.
    pub fn client_certificate(self, pem: impl Into<Vec<u8>>) -> Self {
        Self(self.0.client_certificate(pem))
    }

    /// See [`TokenEndpoint::transport`].
    pub fn transport(self, transport: Transport) -> Self {
        Self(self.0.transport(transport))
    }

    /// Returns the endpoint at once, so that the application starts even if the provider is down.
    ///
    /// The refresher fetches the document at first use, once for all requests that wait for it. That
    /// is the first refresh or logout of this process, not a log in. After a failure the next use
    /// tries again.
    #[must_use]
    pub fn lazy(self) -> TokenEndpoint {
        self.0
    }
}

impl IntoFuture for Discover {
    type Output = Result<TokenEndpoint, DiscoveryError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    /// Fetches the document now. Must be awaited inside a tokio runtime.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let provider = self.0.validate().map_err(DiscoveryError::Config)?;
            Ok(self.0.with_document(provider.discovered().await?))
        })
    }
}
