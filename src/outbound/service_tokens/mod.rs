//! [`ServiceTokens`]: tokens of the application itself, for calls that it makes in its own name.

mod builder;
mod source;

use std::{fmt, sync::Arc};

use async_trait::async_trait;

pub use self::builder::ServiceTokensBuilder;
use self::source::{Ask, Asked};
use super::{
    TokenSource,
    slots::{Obtain, Slot, Slots},
};
use crate::{
    endpoint::{TokenEndpoint, TokenTarget},
    error::{ConfigError, RefreshError},
    tokens::{AccessToken, RecordKey, TokenSet},
};

/// Access tokens of the application itself, for calls that it makes in its own name: by client
/// credentials (RFC 6749, section 4.4), by a JWT bearer assertion
/// ([`jwt_bearer`](ServiceTokensBuilder::jwt_bearer)), or from wherever you say
/// ([`from_fn`](Self::from_fn)). Cheap to clone.
///
/// A token is kept until it is about to expire, and all who need a new one wait for one request.
/// Near the end of its life it is fetched in the background, so that nobody waits.
///
/// ```
/// use tower_token_refresh::{ClientAuth, ServiceTokens, TokenEndpoint, TokenTarget};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use tower_token_refresh::testing::StrictIssuer;
/// # let issuer = StrictIssuer::builder().client("sms-sender", "s3cret").build();
/// let auth = ClientAuth::basic("sms-sender", "s3cret");
/// let endpoint = TokenEndpoint::new("https://id.example/token", auth);
/// # let endpoint = TokenEndpoint::new(issuer.token_url(), ClientAuth::basic("sms-sender", "s3cret")).transport(issuer.transport());
/// // Once, for the state of the application.
/// let tokens = ServiceTokens::builder(endpoint).build()?;
///
/// let token = tokens.token().await?;
/// let authorization = token.header(); // for the request to the API
///
/// // Another token, from the same provider.
/// let profile = tokens.for_target(TokenTarget::new().scope("profile"))?;
/// let token = profile.token().await?;
/// # let _ = (authorization, token);
/// # Ok(())
/// # }
/// ```
///
/// It is a [`TokenSource`], so a [`BearerLayer`](crate::BearerLayer) around a client of HTTP sets the
/// header and heals a 401. It has no login and no session: tokens are in memory only, and each process
/// fetches its own.
///
/// While the provider fails, a token that has not expired is served. `Debug` shows no token.
#[derive(Clone)]
pub struct ServiceTokens {
    slots: Arc<Slots>,
    slot: Arc<Slot>,
    ask: Arc<dyn Ask>,
    target: Arc<TokenTarget>,
}

impl ServiceTokens {
    /// Begins a source of tokens that come from `endpoint`.
    pub fn builder(endpoint: TokenEndpoint) -> ServiceTokensBuilder {
        ServiceTokensBuilder::new(endpoint)
    }

    /// Takes tokens from `obtain`, which is asked once per token however many callers wait for it:
    /// for a provider with an interface of its own, or for a test.
    ///
    /// An error of `obtain` is an [`Unavailable`](crate::RefreshErrorKind::Unavailable) with that
    /// error as its source, or itself if it is a [`RefreshError`]. A panic is an
    /// [`Internal`](crate::RefreshErrorKind::Internal). Neither is kept: the next call asks again.
    ///
    /// ```
    /// use tower_token_refresh::{ServiceTokens, TokenSet};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_token_refresh::RefreshError> {
    /// let tokens = ServiceTokens::from_fn(|_target| async {
    ///     TokenSet::from_json(r#"{"access_token": "for-a-test", "expires_in": 300}"#)
    /// });
    /// assert_eq!(tokens.token().await?.secret(), "for-a-test");
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_fn<F, A, E>(obtain: F) -> Self
    where
        F: Fn(TokenTarget) -> A + Send + Sync + 'static,
        A: Future<Output = Result<TokenSet, E>> + Send + 'static,
        E: Into<tower::BoxError>,
    {
        ServiceTokensBuilder::from_fn(obtain)
    }

    fn new(slots: Arc<Slots>, ask: Arc<dyn Ask>, target: TokenTarget) -> Self {
        Self { slot: slots.slot(key_of(&target)), slots, ask, target: target.into() }
    }

    /// The tokens for another target, from the same provider and with the same settings. Two sources
    /// for one target share its token, unless those of 10,000 others were made in between.
    ///
    /// # Errors
    /// `target` breaks a rule of [`TokenTarget`].
    pub fn for_target(&self, target: TokenTarget) -> Result<Self, ConfigError> {
        target.check()?;
        Ok(Self::new(self.slots.clone(), self.ask.clone(), target))
    }

    /// A token that is fresh now. It returns at once while there is one.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: a request that has begun goes on to its end.
    ///
    /// # Errors
    /// See [`RefreshErrorKind`](crate::RefreshErrorKind). All who waited for a failed request get its
    /// error, and the next call tries again. What the provider clearly refuses, such as a wrong
    /// secret, is answered the same for 1 s, doubling to 60 s.
    pub async fn token(&self) -> Result<AccessToken, RefreshError> {
        self.slots.token(&self.slot, None, || self.asked()).await
    }

    /// A token newer than `rejected`, which an API has refused with a 401. All who were refused with
    /// the same token share one request. Call it once per refused call.
    ///
    /// # Cancel safety
    /// As [`token`](Self::token).
    ///
    /// # Errors
    /// As [`token`](Self::token).
    pub async fn newer_than(&self, rejected: &AccessToken) -> Result<AccessToken, RefreshError> {
        self.slots.newer_than(&self.slot, rejected.cached(), None, self.asked()).await
    }

    /// Fetches the first token. Call it before the application takes requests: the first of them
    /// need not wait then, and a wrong secret is found at once.
    ///
    /// # Cancel safety
    /// As [`token`](Self::token).
    ///
    /// # Errors
    /// As [`token`](Self::token). Do not refuse to start for
    /// [`Unavailable`](crate::RefreshErrorKind::Unavailable): the provider may just be restarting.
    pub async fn warm_up(&self) -> Result<(), RefreshError> {
        self.token().await.map(drop)
    }

    fn asked(&self) -> Arc<dyn Obtain> {
        Arc::new(Asked { ask: self.ask.clone(), target: self.target.clone() })
    }
}

/// Which slot is for this target.
fn key_of(target: &TokenTarget) -> RecordKey {
    RecordKey::hashed("tower-token-refresh target", target.to_secret_form().as_bytes())
}

#[async_trait]
impl TokenSource for ServiceTokens {
    async fn token(&self) -> Result<AccessToken, RefreshError> {
        Self::token(self).await
    }

    async fn newer_than(&self, rejected: &AccessToken) -> Result<AccessToken, RefreshError> {
        Self::newer_than(self, rejected).await
    }
}

impl fmt::Debug for ServiceTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceTokens")
            .field("target", &self.target)
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}
