//! [`Discover`]: a [`TokenEndpoint`] on its way to be found.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    time::Duration,
};

use super::{DiscoveryError, ProviderLimits, TokenEndpoint, Transport};

/// A [`TokenEndpoint`] that is to be found by discovery: `.await` it to find it now, or take it [`lazy`](Self::lazy).
///
/// ```no_run
/// # use tower_token_refresh::{ClientAuth, DiscoveryError, TokenEndpoint};
/// # async fn start() -> Result<(), DiscoveryError> {
/// let endpoint = TokenEndpoint::discover("https://id.example/realms/a", ClientAuth::none("my-app")).await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use = "discovery starts when it is awaited"]
pub struct Discover(TokenEndpoint);

impl Discover {
    pub(super) fn of(endpoint: TokenEndpoint) -> Self {
        Self(endpoint)
    }

    /// See [`TokenEndpoint::allow_http_to`]. It holds for the discovery document and every URL in it.
    pub fn allow_http_to(self, host: impl AsRef<str>) -> Self {
        Self(self.0.allow_http_to(host))
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

    /// See [`TokenEndpoint::transport`].
    pub fn transport(self, transport: Transport) -> Self {
        Self(self.0.transport(transport))
    }

    /// The endpoint at once, so that a provider that is down does not keep the app from starting. Discovery runs on first use, once
    /// for all that wait; after a failure the next use tries again.
    #[must_use]
    pub fn lazy(self) -> TokenEndpoint {
        self.0
    }
}

impl IntoFuture for Discover {
    type Output = Result<TokenEndpoint, DiscoveryError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    /// Runs discovery now. Must be awaited inside a tokio runtime.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            self.0.validate().map_err(DiscoveryError::Config)?.metadata().await?;
            Ok(self.0)
        })
    }
}
