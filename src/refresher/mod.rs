//! The refresher: who gets which token, what a refresh is made of, and how a login ends.
//! `docs/architecture.md` says which file holds which rule.

mod adopt;
mod answer;
mod asker;
mod audit;
mod builder;
mod claims_verifier;
mod confirm;
mod core;
mod ended_here;
mod ending;
pub(crate) mod errors;
mod failed;
mod flight_log;
#[cfg(feature = "login")]
mod for_login_routes;
mod health;
#[cfg(feature = "axum")]
mod identity;
mod kept_answers;
mod last_writes;
mod listening;
mod log_in;
mod log_out;
mod log_out_by_provider;
mod login_tokens;
mod marker;
mod new_login;
mod newest;
mod one_process;
mod parts;
mod presentation;
mod prolong;
mod providers;
mod records;
mod refresh;
mod refresh_lock;
mod rejections;
mod revoker;
mod seen_marks;
mod shutdown;
mod stats;
mod store_clock;
mod subject_check;
mod unsaved;
mod usage;
mod valid_token;
pub(crate) mod watchers;
mod writes;

use std::{fmt, future::Future, sync::Arc, time::Duration};

use tower_sessions::{Session, SessionManagerLayer, SessionStore, cookie::SameSite};

pub use builder::TokenRefresherBuilder;
pub use log_out::{Logout, LogoutOutcome, Revocation};
pub use login_tokens::LoginTokens;
#[cfg(feature = "login")]
pub(crate) use providers::AtProvider;
pub use shutdown::ShutdownError;
pub use usage::Usage;

use self::core::{Core, FlightKey, FlightResult};
use crate::{
    back_channel::BackChannelError,
    endpoint::TokenEndpoint,
    error::RefreshError,
    session::GuardedStore,
    tokens::{AccessToken, TokenSet},
};

/// Keeps the tokens of all logins alive. Cheap to clone; clones share one refresher.
///
/// Make one per process and provider, with [`TokenRefresher::builder`], and clone it wherever you
/// need it: two of them in one process know nothing of each other's refreshes. Call everything here
/// within a tokio runtime.
#[derive(Clone)]
pub struct TokenRefresher(Arc<Core>);

impl TokenRefresher {
    /// Begins a refresher for the sessions in `store`, whose tokens come from `endpoint`.
    pub fn builder(endpoint: TokenEndpoint, store: impl SessionStore) -> TokenRefresherBuilder {
        TokenRefresherBuilder::new(endpoint, store)
    }

    /// The session layer to put around the application: tower-sessions' own, over the
    /// [guarded store](GuardedStore). Configure it as usual (`with_secure`, `with_expiry`, …) or
    /// hand it to axum-login. Put a [`SessionCookieLayer`](crate::SessionCookieLayer) around it.
    ///
    /// One of its defaults differs: the cookie is `SameSite=Lax`. With tower-sessions' `Strict` a
    /// browser that comes back from the provider would not send it, and the login would begin a
    /// session of its own beside the one that it came from. For plain http, use `with_secure(false)`.
    ///
    /// A session layer of your own works as well: the session holds only a pointer to its login.
    /// Then a session that was deleted may come back by a late save, and a session whose login
    /// ended with it is emptied only when a token is next asked for.
    #[must_use]
    pub fn session_layer(&self) -> SessionManagerLayer<GuardedStore> {
        SessionManagerLayer::new(self.session_store()).with_same_site(SameSite::Lax)
    }

    /// The guarded store, for code that needs a store rather than a layer.
    #[must_use]
    pub fn session_store(&self) -> GuardedStore {
        self.0.sessions.clone()
    }

    /// An access token that is fresh now, for the user of `session`.
    ///
    /// Returns at once while the token is good; near the end of its life the first such call also
    /// starts a refresh in the background. Otherwise waits for the refresh of this login: the one
    /// that is under way, or one that this call starts. The token store holds the new tokens before
    /// this returns. While the provider cannot be asked it may give the expired token, marked
    /// [stale](AccessToken::is_stale), if the [policy](crate::RefreshPolicy::on_unavailable) says
    /// so.
    ///
    /// Whatever outlives its request, such as a WebSocket or a job, keeps [`LoginTokens`] instead
    /// of the [`Session`]: see [`login_tokens`](Self::login_tokens).
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: a refresh that has begun goes on to its end.
    ///
    /// # Errors
    /// See [`RefreshErrorKind`](crate::RefreshErrorKind). Every caller that waited for a failed
    /// refresh gets its error; the next caller tries again.
    pub fn valid_token(
        &self,
        session: &Session,
    ) -> impl Future<Output = Result<AccessToken, RefreshError>> + Send {
        // Not an `async fn` around it: the layer moves what it awaits with every request.
        valid_token::valid_token(&self.0, session)
    }

    /// Like [`valid_token`](Self::valid_token), after an API has rejected `rejected` with a 401:
    /// gives a token newer than that, even if the rejected one has not expired.
    ///
    /// ```
    /// # use tower_token_refresh::{AccessToken, RefreshError, TokenRefresher, tower_sessions::Session};
    /// # async fn call_api(_: &AccessToken) -> u16 { 200 }
    /// # async fn orders(refresher: TokenRefresher, session: Session) -> Result<u16, RefreshError> {
    /// let token = refresher.valid_token(&session).await?;
    /// let mut status = call_api(&token).await;
    /// if status == 401 {
    ///     let newer = refresher.newer_token(&session, &token).await?;
    ///     status = call_api(&newer).await;
    /// }
    /// # Ok(status)
    /// # }
    /// ```
    ///
    /// Call it once per rejected request: an API that rejects every token would otherwise cause one
    /// refresh after the other.
    ///
    /// # Cancel safety
    /// As [`valid_token`](Self::valid_token).
    ///
    /// # Errors
    /// As [`valid_token`](Self::valid_token).
    pub async fn newer_token(
        &self,
        session: &Session,
        rejected: &AccessToken,
    ) -> Result<AccessToken, RefreshError> {
        valid_token::newer_token(&self.0, session, rejected.cached()).await
    }

    /// Logs a user in: stores `set` as a new login, points `session` to it, gives the session a new
    /// id (against fixation) and saves it.
    ///
    /// The ID token in `set` is not verified here: your OpenID Connect client has done that, with
    /// the nonce that only it knows. Every refresh of this login is compared with it: tokens of
    /// another `sub` or `iss` end the login.
    ///
    /// A login that the session pointed to before ends; its tokens are not revoked, because on some
    /// providers that would end the login just made.
    ///
    /// # Cancel safety
    /// Runs to its end even if the future is dropped.
    ///
    /// # Errors
    /// [`Unavailable`] if the session store or the token store fails, [`Internal`] if one of them
    /// panics, [`LoggedOut`](crate::RefreshErrorKind::LoggedOut) if the provider has ended this
    /// login meanwhile. Nobody is logged in then: the session points to no login.
    ///
    /// [`Internal`]: crate::RefreshErrorKind::Internal
    /// [`Unavailable`]: crate::RefreshErrorKind::Unavailable
    pub async fn log_in(&self, session: &Session, set: TokenSet) -> Result<(), RefreshError> {
        self.0.run_to_the_end(log_in::log_in(self.0.clone(), session.clone(), set)).await
    }

    /// Logs the user of `session` out: ends the login in every session that points to it, and
    /// revokes its tokens.
    ///
    /// The requests that wait for a refresh get
    /// [`LoggedOut`](crate::RefreshErrorKind::LoggedOut) and what it still brings is revoked.
    /// Without a login in the session only the session itself ends: so call this *before*
    /// `session.flush()` or axum-login's `logout`, after which it would find nothing to revoke.
    ///
    /// It waits at most 2 s for the provider; a revocation that takes longer goes on in the
    /// background.
    ///
    /// The browser's session at the provider is another matter (OpenID Connect RP-Initiated Logout
    /// 1.0): send the browser there.
    ///
    /// ```
    /// # use tower_token_refresh::{Logout, TokenRefresher, tower_sessions::Session};
    /// # async fn log_out(refresher: TokenRefresher, session: Session)
    /// # -> Result<Option<String>, Box<dyn std::error::Error>> {
    /// let outcome = refresher.log_out(&session, Logout::EndSession).await?;
    /// let redirect_to = outcome.end_session_url(Some("https://shop.example/"));
    /// # Ok(redirect_to)
    /// # }
    /// ```
    ///
    /// # Cancel safety
    /// Runs to its end even if the future is dropped.
    ///
    /// # Errors
    /// [`Unavailable`] if the session store or the token store fails, [`Internal`] if one of them
    /// panics. Unless the session itself could not be read, the login has ended in this process and
    /// its tokens are revoked even then; the token store is asked again in the background until it
    /// takes the ending. What the provider said to the revocation is in
    /// [`LogoutOutcome::revocation`] and is no error.
    ///
    /// [`Internal`]: crate::RefreshErrorKind::Internal
    /// [`Unavailable`]: crate::RefreshErrorKind::Unavailable
    pub async fn log_out(
        &self,
        session: &Session,
        how: Logout,
    ) -> Result<LogoutOutcome, RefreshError> {
        self.0.run_to_the_end(log_out::log_out(self.0.clone(), session.clone(), how)).await
    }

    /// Where the provider posts its logout tokens (OpenID Connect Back-Channel Logout 1.0): a route
    /// for your router, without session, authentication or CSRF protection, as no browser calls it.
    /// See [`end_by_logout_token`](Self::end_by_logout_token) for what it does.
    ///
    /// It answers 200 when the logins have ended or there are none, 400 to a token that is refused,
    /// and 503 with `Retry-After` while the provider's keys or the token store cannot be reached,
    /// so that the provider may send the token again.
    ///
    /// ```
    /// use axum::Router;
    /// use tower_token_refresh::{ClientAuth, TokenEndpoint, TokenRefresher, tower_sessions::MemoryStore};
    ///
    /// # fn main() -> Result<(), tower_token_refresh::ConfigError> {
    /// # let key = [7; 32];
    /// let endpoint = TokenEndpoint::new("https://id.example.com/token", ClientAuth::basic("shop-web", "secret"))
    ///     .issuer("https://id.example.com")
    ///     .jwks_url("https://id.example.com/certs");
    /// let refresher = TokenRefresher::builder(endpoint, MemoryStore::default()).back_channel_logout(key).build()?;
    /// let app: Router = Router::new()
    ///     .layer(refresher.session_layer())
    ///     .route("/auth/back-channel-logout", refresher.back_channel_logout()?);
    /// # let _ = app;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The refresher was built without
    /// [`back_channel_logout`](TokenRefresherBuilder::back_channel_logout).
    #[cfg(feature = "axum")]
    pub fn back_channel_logout<S>(
        &self,
    ) -> Result<axum::routing::MethodRouter<S>, crate::ConfigError>
    where
        S: Clone + Send + Sync + 'static,
    {
        if self.0.back_channel.is_none() {
            return Err(crate::ConfigError::Range {
                what: "back_channel_logout",
                value: "off".into(),
                rule: "the refresher has to be built with it",
            });
        }
        Ok(crate::middleware::back_channel_route(self.clone()))
    }

    /// Ends the logins that a logout token of the provider names: with a `sid` those of one browser
    /// session at the provider, with a `sub` alone all of a user. What
    /// [`back_channel_logout`](Self::back_channel_logout) does, for other frameworks.
    ///
    /// Their sessions end with everything in them; requests that wait for a refresh get
    /// [`LoggedOut`](crate::RefreshErrorKind::LoggedOut). Tokens are not revoked, as the provider
    /// has ended them; what a refresh under way still brings is dropped.
    ///
    /// A token counts once. It must be the provider's own (by its keys), for this client and at
    /// most 5 min old.
    ///
    /// # Cancel safety
    /// Runs to its end even if the future is dropped.
    ///
    /// # Errors
    /// The token is refused, or the keys or the token store cannot be reached; in this case the
    /// same token may be used again. Logins that were found have ended in this process even then,
    /// and the token store is asked again in the background.
    pub async fn end_by_logout_token(&self, logout_token: &str) -> Result<(), BackChannelError> {
        let (core, token) = (self.0.clone(), logout_token.to_owned());
        let ending = self
            .0
            .tasks
            .spawn(async move { log_out_by_provider::end_by_logout_token(&core, &token).await });
        ending.await.unwrap_or_else(|_| Err(BackChannelError::Unavailable(errors::internal())))
    }

    /// Ends the work of this refresher, before its process or runtime ends: from now on no refresh
    /// is started, and this waits for those under way, for logins and logouts, and for one more
    /// attempt at what the token store has refused so far: new tokens, and the ends of logins.
    ///
    /// Requests with a fresh token are served as before; those that need a refresh get
    /// [`Unavailable`](crate::RefreshErrorKind::Unavailable). Use it after the server has stopped
    /// taking requests:
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_token_refresh::TokenRefresher;
    /// # async fn serve(listener: tokio::net::TcpListener, app: axum::Router, refresher: TokenRefresher,
    /// #     stop: impl Future<Output = ()> + Send + 'static) -> std::io::Result<()> {
    /// axum::serve(listener, app).with_graceful_shutdown(stop).await?;
    /// if let Err(error) = refresher.shutdown(Duration::from_secs(30)).await {
    ///     tracing::warn!(%error, "tokens may be lost");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    /// Dropping the future ends the waiting only.
    ///
    /// # Errors
    /// `limit` was over before the work was, or the token store still refuses something.
    pub async fn shutdown(&self, limit: Duration) -> Result<(), ShutdownError> {
        shutdown::shutdown(&self.0, limit).await
    }
}

impl fmt::Debug for TokenRefresher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRefresher")
            .field("provider", &self.0.providers.own().provider)
            .field("policy", &self.0.policy)
            .field("cache", &self.0.cache)
            .field("flights", &self.0.flights)
            .finish_non_exhaustive()
    }
}
