//! Where the tokens come from.

use std::{future::Future, sync::Arc};

use async_trait::async_trait;
use tower::BoxError;

use crate::{
    dpop::DpopKey,
    endpoint::{AuthorizationGrant, JwtBearer, Provider, TokenTarget},
    error::RefreshError,
    outbound::slots::{NotObtained, Obtain},
    refresher::errors::{lacks_dpop_key, unavailable},
    tokens::TokenSet,
};

/// Brings a token for any target.
#[async_trait]
pub(super) trait Ask: Send + Sync + 'static {
    async fn ask(&self, target: &TokenTarget) -> Result<TokenSet, NotObtained>;

    /// For the log.
    fn provider(&self) -> String;
}

/// Brings a token for one target.
pub(super) struct Asked {
    pub(super) ask: Arc<dyn Ask>,
    pub(super) target: Arc<TokenTarget>,
}

#[async_trait]
impl Obtain for Asked {
    async fn obtain(&self, _failed_before: bool) -> Result<TokenSet, NotObtained> {
        self.ask.ask(&self.target).await
    }

    fn target(&self) -> &TokenTarget {
        &self.target
    }

    fn provider(&self) -> String {
        self.ask.provider()
    }
}

/// A provider's token endpoint.
pub(super) struct AtProvider {
    pub(super) provider: Provider,
    /// None: client credentials.
    pub(super) jwt_bearer: Option<JwtBearer>,
    /// What the tokens are bound to. None: they are bearer tokens.
    pub(super) dpop_key: Option<DpopKey>,
}

#[async_trait]
impl Ask for AtProvider {
    async fn ask(&self, target: &TokenTarget) -> Result<TokenSet, NotObtained> {
        let grant = match &self.jwt_bearer {
            Some(bearer) => AuthorizationGrant::JwtBearer(bearer, target),
            None => AuthorizationGrant::ClientCredentials(target),
        };
        let obtained = self.provider.obtain(grant, self.dpop_key.as_ref()).await;
        obtained.map_err(|error| NotObtained::by_provider(error, grant.grant_type()))
    }

    fn provider(&self) -> String {
        self.provider.issuer_id().to_owned()
    }
}

/// The application's own function.
pub(super) struct ByFn<F>(pub(super) F);

#[async_trait]
impl<F, A, E> Ask for ByFn<F>
where
    F: Fn(TokenTarget) -> A + Send + Sync + 'static,
    A: Future<Output = Result<TokenSet, E>> + Send + 'static,
    E: Into<BoxError>,
{
    async fn ask(&self, target: &TokenTarget) -> Result<TokenSet, NotObtained> {
        let obtained = (self.0)(target.clone()).await;
        let set = obtained.map_err(|error| as_refresh_error(error.into()))?;
        if set.lacks_dpop_key() {
            return Err(lacks_dpop_key().into());
        }
        Ok(set)
    }

    fn provider(&self) -> String {
        "a function of the application".to_owned()
    }
}

fn as_refresh_error(error: BoxError) -> RefreshError {
    match error.downcast::<RefreshError>() {
        Ok(error) => *error,
        Err(error) => {
            let message = "the application's own source of tokens failed";
            unavailable(message).with_cause(Some(Arc::from(error)))
        }
    }
}
