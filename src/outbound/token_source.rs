//! [`TokenSource`]: whoever gives access tokens to a client of an API.

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use crate::{error::RefreshError, refresher::LoginTokens, tokens::AccessToken};

/// Gives access tokens to whoever calls an API: those of a login ([`LoginTokens`]), those that
/// they are exchanged for ([`ExchangedTokens`](crate::ExchangedTokens)), or those of the
/// application itself ([`ServiceTokens`](crate::ServiceTokens)).
///
/// Write code that calls an API against this. In a test,
/// [`ServiceTokens::from_fn`](crate::ServiceTokens::from_fn) gives it any token, or
/// [`Unavailable`](crate::RefreshErrorKind::Unavailable). A type of your own wraps one of these,
/// since nothing else makes an [`AccessToken`]; its `impl` needs `#[async_trait]` of the crate
/// `async-trait`.
///
/// ```
/// use std::sync::Arc;
/// use tower_token_refresh::{RefreshError, TokenSource};
///
/// # async fn get(_: &str, _: http::HeaderValue) -> u16 { 200 }
/// async fn orders(tokens: Arc<dyn TokenSource>) -> Result<u16, RefreshError> {
///     let token = tokens.token().await?;
///     let status = get("https://api.example/orders", token.header()).await;
///     if status != 401 {
///         return Ok(status);
///     }
///     let newer = tokens.newer_than(&token).await?;
///     Ok(get("https://api.example/orders", newer.header()).await)
/// }
/// # let _ = orders;
/// ```
#[async_trait]
pub trait TokenSource: fmt::Debug + Send + Sync + 'static {
    /// An access token that is fresh now.
    ///
    /// # Errors
    /// No token can be had: see [`RefreshErrorKind`](crate::RefreshErrorKind).
    async fn token(&self) -> Result<AccessToken, RefreshError>;

    /// A token newer than `rejected`, which an API has refused with a 401. All who were refused with
    /// the same token share one refresh.
    ///
    /// # Errors
    /// As [`token`](Self::token).
    async fn newer_than(&self, rejected: &AccessToken) -> Result<AccessToken, RefreshError>;
}

#[async_trait]
impl TokenSource for LoginTokens {
    async fn token(&self) -> Result<AccessToken, RefreshError> {
        Self::token(self).await
    }

    async fn newer_than(&self, rejected: &AccessToken) -> Result<AccessToken, RefreshError> {
        Self::newer_than(self, rejected).await
    }
}

#[async_trait]
impl<S: TokenSource + ?Sized> TokenSource for Arc<S> {
    async fn token(&self) -> Result<AccessToken, RefreshError> {
        (**self).token().await
    }

    async fn newer_than(&self, rejected: &AccessToken) -> Result<AccessToken, RefreshError> {
        (**self).newer_than(rejected).await
    }
}
