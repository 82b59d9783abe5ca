//! Where the provider's endpoints are.

use std::sync::Arc;

use http::Uri;

use super::Provider;
use crate::endpoint::discovery::{Discovery, DiscoveryError, Metadata};

/// Configured or discovered.
#[derive(Clone)]
pub(in crate::endpoint) enum Addresses {
    Configured(Arc<Metadata>),
    /// Discovery finds them at first use. A configured address overrides a discovered one.
    Discovered {
        discovery: Arc<Discovery>,
        overrides: Arc<Overrides>,
    },
}

/// Addresses configured in addition to discovery.
pub(in crate::endpoint) struct Overrides {
    pub(in crate::endpoint) revocation: Option<Uri>,
    pub(in crate::endpoint) end_session: Option<Uri>,
    pub(in crate::endpoint) jwks: Option<Uri>,
    pub(in crate::endpoint) authorization: Option<Uri>,
    /// Whether requests of this client go to the aliases for mutual TLS.
    pub(in crate::endpoint) mtls: bool,
}

impl Provider {
    /// Where to send a browser to log out at the provider (OpenID Connect RP-Initiated Logout 1.0);
    /// `None` if it is neither configured nor discovered.
    pub(crate) async fn end_session_url(&self) -> Result<Option<Uri>, DiscoveryError> {
        Ok(self.metadata().await?.end_session.clone())
    }

    /// Where the provider publishes its signing keys (RFC 7517); `None` if it is neither configured
    /// nor discovered.
    pub(crate) async fn jwks_url(&self) -> Result<Option<Uri>, DiscoveryError> {
        Ok(self.metadata().await?.jwks.clone())
    }

    pub(crate) async fn metadata(&self) -> Result<Arc<Metadata>, DiscoveryError> {
        match &self.addresses {
            Addresses::Configured(metadata) => Ok(Arc::clone(metadata)),
            Addresses::Discovered { discovery, overrides } => {
                let mut metadata = discovery.metadata(&self.exchange).await?;
                let Overrides { revocation, end_session, jwks, authorization, .. } = &**overrides;
                let overridden = [revocation, end_session, jwks, authorization];
                if overridden.into_iter().any(Option::is_some) {
                    let found = Arc::make_mut(&mut metadata);
                    if revocation.is_some() {
                        found.revocation.clone_from(revocation);
                        found.mtls.revocation = None;
                    }
                    found.end_session = end_session.clone().or(found.end_session.take());
                    found.jwks = jwks.clone().or(found.jwks.take());
                    let begins = &mut found.authorization.endpoint;
                    *begins = authorization.clone().or(begins.take());
                }
                Ok(metadata)
            }
        }
    }

    /// The discovery document without the overrides; `None` if discovery is not in use.
    pub(in crate::endpoint) async fn discovered(
        &self,
    ) -> Result<Option<Arc<Metadata>>, DiscoveryError> {
        match &self.addresses {
            Addresses::Configured(_) => Ok(None),
            Addresses::Discovered { discovery, .. } => {
                discovery.metadata(&self.exchange).await.map(Some)
            }
        }
    }
}
