//! [`TokenExchange`]: from a user's token to one for another API, in the same user's name (RFC 8693).

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::time::Instant;

use super::{
    TokenSource,
    slots::{NotObtained, Obtain, Slot, Slots},
};
use crate::{
    endpoint::{AuthorizationGrant, EndpointError, EndpointErrorKind, Provider, TokenTarget},
    error::{ConfigError, RefreshError},
    refresher::{
        LoginTokens, TokenRefresher,
        errors::{logged_out, misconfigured},
        watchers::Follower,
    },
    tokens::{AccessToken, RecordKey, TokenSet},
};

/// The most users whose exchanged tokens are kept.
const MOST_LOGINS: u64 = 10_000;
/// The token of a user whom nobody has asked for in this time is dropped.
const IDLE: Duration = Duration::from_secs(60 * 60);

/// Exchanges users' tokens for tokens of one other API (RFC 8693): this application calls that API
/// in the user's name, with a token that is good for nothing else. Cheap to clone.
///
/// The exchanged token is kept per login, until it has not been used for an hour. Only the 10,000
/// logins that used theirs last have one. All calls that need a new one wait for one exchange, and
/// when the login ends it is dropped.
///
/// ```
/// # #[cfg(feature = "axum")]
/// # fn main() {
/// use axum::extract::State;
/// use tower_token_refresh::{
///     ConfigError, LoginTokens, RefreshError, TokenExchange, TokenRefresher, TokenTarget,
/// };
///
/// // Once, for the state of the application.
/// fn orders(refresher: &TokenRefresher) -> Result<TokenExchange, ConfigError> {
///     TokenExchange::new(refresher, TokenTarget::new().audience("orders"))
/// }
///
/// async fn handler(
///     State(orders): State<TokenExchange>,
///     login: LoginTokens,
/// ) -> Result<(), RefreshError> {
///     let token = orders.tokens(&login).token().await?;
///     let _authorization = token.header(); // for the request to the API
///     Ok(())
/// }
/// # let _ = (orders, axum::routing::get::<_, _, TokenExchange>(handler));
/// # }
/// # #[cfg(not(feature = "axum"))]
/// # fn main() {}
/// ```
#[derive(Clone)]
pub struct TokenExchange(Arc<Shared>);

struct Shared {
    refresher: TokenRefresher,
    slots: Arc<Slots>,
    target: TokenTarget,
    on_behalf_of: bool,
}

/// The tokens of one user for the API of a [`TokenExchange`]. Cheap to clone. As it belongs to a login,
/// it gives no token once that has ended.
#[derive(Clone)]
pub struct ExchangedTokens {
    exchange: Arc<Shared>,
    login: LoginTokens,
}

impl TokenExchange {
    /// Exchanges the access tokens of `refresher`'s logins at its provider, by its client, for tokens
    /// for `target`. Make it once: it keeps the tokens.
    ///
    /// # Errors
    /// `target` breaks a rule of [`TokenTarget`].
    pub fn new(refresher: &TokenRefresher, target: TokenTarget) -> Result<Self, ConfigError> {
        Self::make(refresher, target, false)
    }

    /// As [`new`](Self::new), in the words of Microsoft Entra: its on-behalf-of flow, whose target is
    /// a scope such as `api://orders/.default`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn on_behalf_of(
        refresher: &TokenRefresher,
        target: TokenTarget,
    ) -> Result<Self, ConfigError> {
        Self::make(refresher, target, true)
    }

    fn make(
        refresher: &TokenRefresher,
        target: TokenTarget,
        on_behalf_of: bool,
    ) -> Result<Self, ConfigError> {
        target.check()?;
        let policy = refresher.policy();
        let longest = refresher.providers().own().provider.longest_refresh();
        // Each of two exchanges, and a token of the user before it.
        let flight_timeout = longest.saturating_add(policy.wait_timeout).saturating_mul(2);
        let clock = refresher.clock().clone();
        let slots = Slots::new(MOST_LOGINS, Some(IDLE), policy.clone(), flight_timeout, clock);
        refresher.watchers().follow(&slots);
        Ok(Self(Arc::new(Shared { refresher: refresher.clone(), slots, target, on_behalf_of })))
    }

    /// The tokens of the user of `login` for this API. Nothing is exchanged yet.
    ///
    /// `login` must be of the refresher that this was made with. For a login of another refresher
    /// they give [`Misconfigured`](crate::RefreshErrorKind::Misconfigured), and nothing is sent.
    #[must_use]
    pub fn tokens(&self, login: &LoginTokens) -> ExchangedTokens {
        ExchangedTokens { exchange: self.0.clone(), login: login.clone() }
    }
}

impl ExchangedTokens {
    /// A token that is fresh now. While there is one it waits for no provider: it asks the token
    /// store whether the login still stands, as often as for the login's own tokens.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: an exchange that has begun goes on to its end.
    ///
    /// # Errors
    /// As [`LoginTokens::token`], and [`Misconfigured`](crate::RefreshErrorKind::Misconfigured) if the
    /// provider does not exchange tokens for this client, user or target (`invalid_target`). No login
    /// ends by it. All who waited for an exchange get its error.
    pub async fn token(&self) -> Result<AccessToken, RefreshError> {
        self.for_this_login(async |until| {
            let slots = &self.exchange.slots;
            slots.token(&self.slot(), Some(until), || self.exchanging()).await
        })
        .await
    }

    /// A token newer than `rejected`, which the API has refused with a 401. All who were refused with
    /// the same token share one exchange. Call it once per refused call.
    ///
    /// # Cancel safety
    /// As [`token`](Self::token).
    ///
    /// # Errors
    /// As [`token`](Self::token).
    pub async fn newer_than(&self, rejected: &AccessToken) -> Result<AccessToken, RefreshError> {
        self.for_this_login(async |until| {
            let slots = &self.exchange.slots;
            slots.newer_than(&self.slot(), rejected.cached(), Some(until), self.exchanging()).await
        })
        .await
    }

    /// An ended login has no tokens, whatever is kept here. And a token that is here needs no
    /// provider.
    async fn for_this_login(
        &self,
        work: impl AsyncFnOnce(Instant) -> Result<AccessToken, RefreshError>,
    ) -> Result<AccessToken, RefreshError> {
        if !self.login.is_of(&self.exchange.refresher) {
            return Err(misconfigured("the login is of another refresher than the exchange"));
        }
        self.login.while_it_stands(work).await
    }

    /// Looked up each time, or a logout would not empty one that was forgotten in between.
    fn slot(&self) -> Arc<Slot> {
        self.exchange.slots.slot(self.login.key())
    }

    fn exchanging(&self) -> Arc<dyn Obtain> {
        Arc::new(self.clone())
    }

    async fn ask(&self, provider: &Provider, token: &AccessToken) -> Result<TokenSet, Refused> {
        let (subject_token, target) = (token.secret(), &self.exchange.target);
        let grant = if self.exchange.on_behalf_of {
            AuthorizationGrant::OnBehalfOf { subject_token, target }
        } else {
            AuthorizationGrant::TokenExchange { subject_token, target }
        };
        // The new token is bound to the key that the user's own is bound to.
        let key = token.cached().dpop_key.as_ref();
        provider
            .obtain(grant, key)
            .await
            .map_err(|error| Refused { error, grant: grant.grant_type() })
    }
}

struct Refused {
    error: EndpointError,
    grant: &'static str,
}

impl Refused {
    /// Whether the provider may mean the user's token: `invalid_request` by RFC 8693 (section 2.2.2).
    fn may_mean_the_token(&self) -> bool {
        matches!(
            self.error.kind(),
            EndpointErrorKind::InvalidGrant
                | EndpointErrorKind::Rejected { code: "invalid_request" }
        )
    }
}

#[async_trait]
impl Obtain for ExchangedTokens {
    async fn obtain(&self, failed_before: bool) -> Result<TokenSet, NotObtained> {
        let token = self.login.token().await?;
        let at = self.exchange.refresher.providers().of(&token.cached().issuer).await?;
        let mut answer = self.ask(&at.exchanges, &token).await;
        // Once: a wrong setting must not rotate the user's tokens without end.
        if !failed_before && answer.as_ref().is_err_and(Refused::may_mean_the_token) {
            // Where there is none, the provider's first answer says why.
            if let Ok(newer) = self.login.newer_than(&token).await {
                answer = self.ask(&at.exchanges, &newer).await;
            }
        }
        // The user may have logged out meanwhile.
        self.login.check_not_ended()?;
        answer.map_err(|refused| NotObtained::by_provider(refused.error, refused.grant))
    }

    fn target(&self) -> &TokenTarget {
        &self.exchange.target
    }

    fn provider(&self) -> String {
        let token = self.login.current();
        let issuer = token.as_ref().and_then(AccessToken::issuer);
        issuer.unwrap_or("the provider of the login").to_owned()
    }
}

impl Follower for Slots {
    fn ended(&self, login: RecordKey) {
        self.forget(login, &logged_out());
    }
}

#[async_trait]
impl TokenSource for ExchangedTokens {
    async fn token(&self) -> Result<AccessToken, RefreshError> {
        Self::token(self).await
    }

    async fn newer_than(&self, rejected: &AccessToken) -> Result<AccessToken, RefreshError> {
        Self::newer_than(self, rejected).await
    }
}

impl fmt::Debug for TokenExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenExchange").field("target", &self.0.target).finish_non_exhaustive()
    }
}

impl fmt::Debug for ExchangedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExchangedTokens")
            .field("target", &self.exchange.target)
            .finish_non_exhaustive()
    }
}
