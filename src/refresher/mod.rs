//! The policy: who gets which token, and what a refresh is made of.
//!
//! A request holds the set its session showed it. If that is fresh, it goes on. If not, it asks one question: *I hold
//! generation g; give me one that is newer and fresh now.* The question is answered by the ledger where a flight has just landed, by a flight
//! under way, or by a new one. Whoever asked tests the answer itself, since it may have been made for somebody else.
//!
//! What a flight does is in `flight_steps`; it never belongs to the request that started it.

mod ask;
mod builder;
mod burial;
mod early;
mod end_by_provider;
mod failures;
mod flight_steps;
mod identity;
mod log_in;
mod log_out;
mod over;
mod pending;
mod replay;
mod shutdown;

use std::{fmt, future::Future, sync::Arc, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_sessions::{Session, SessionManagerLayer, SessionStore, cookie::SameSite};

pub use builder::TokenRefresherBuilder;
pub use log_out::{LogOut, LoggedOut, Revocation};
pub use shutdown::StillRunning;

use crate::{
    access_token::AccessToken,
    backchannel::{BackChannel, BackChannelError},
    claims::ClaimsVerifier,
    clock::Clock,
    endpoint::{Keys, Provider, TokenEndpoint},
    error::RefreshError,
    flight::SingleFlight,
    grant::{FlightKey, HeldSet},
    ledger::Ledger,
    policy::RefreshPolicy,
    session::GuardedStore,
    token::TokenSet,
};

/// Keeps the tokens of all sessions alive. Cheap to clone; clones are one refresher.
///
/// Make one per process and provider, with [`TokenRefresher::builder`], and clone it wherever it is needed: two of them over one store
/// know nothing of each other's refreshes. Everything here must be called within a tokio runtime.
#[derive(Clone)]
pub struct TokenRefresher(Arc<Core>);

/// What a flight gives to everybody who waited for it.
type Landed = Result<Arc<HeldSet>, RefreshError>;

struct Core {
    provider: Provider,
    keys: Keys,
    /// None where claims need no verification.
    claims_verifier: Option<ClaimsVerifier>,
    store: GuardedStore,
    /// None where the provider does not tell who has logged out.
    back_channel: Option<BackChannel>,
    ledger: Arc<Ledger>,
    flights: SingleFlight<FlightKey, Landed>,
    policy: RefreshPolicy,
    clock: Clock,
    key: Arc<str>,
    revoke_on_log_out: bool,
    /// Everything that runs on without its caller.
    tasks: TaskTracker,
    closing: CancellationToken,
}

impl TokenRefresher {
    /// Begins a refresher for the sessions in `store`, whose tokens come from `endpoint`.
    pub fn builder(endpoint: TokenEndpoint, store: impl SessionStore) -> TokenRefresherBuilder {
        TokenRefresherBuilder::new(endpoint, store)
    }

    /// The session layer to put around the application: tower-sessions' own, over the guarded store. Configure it as usual
    /// (`with_secure`, `with_expiry`, …) or hand it to axum-login.
    ///
    /// One of its defaults differs: the cookie is `SameSite=Lax`. With tower-sessions' `Strict` a browser that comes back from the
    /// provider would not send it, and the callback would find neither state nor nonce. The cookie is `Secure`; for development
    /// over plain http on another host than localhost, use `with_secure(false)`.
    ///
    /// Every call shares one guard, so several layers work on the same sessions.
    #[must_use]
    pub fn session_layer(&self) -> SessionManagerLayer<GuardedStore> {
        SessionManagerLayer::new(self.session_store()).with_same_site(SameSite::Lax)
    }

    /// The guarded store, for code that needs a store rather than a layer.
    #[must_use]
    pub fn session_store(&self) -> GuardedStore {
        self.0.store.clone()
    }

    /// An access token that is fresh now, for the user of `session`.
    ///
    /// Returns at once while the token is good; near the end of its life the first such call also starts a refresh in the
    /// background. Otherwise waits for the refresh of this grant: the one that is under way, or one that this call starts. The session
    /// store holds the new tokens, and `session` shows them, before this returns. While the provider cannot be asked it may give the
    /// expired token, marked [stale](AccessToken::is_stale), if the [policy](RefreshPolicy::on_unavailable) says so.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: a refresh that has begun goes on to its end.
    ///
    /// # Errors
    /// See [`RefreshErrorKind`](crate::RefreshErrorKind). Every caller that waited for a failed refresh gets its error; the next
    /// caller tries again.
    pub async fn valid_token(&self, session: &Session) -> Result<AccessToken, RefreshError> {
        self.0.valid_token(session).await
    }

    /// [`valid_token`](Self::valid_token) without a future of its own around it: the layer moves what it awaits with every request.
    pub(crate) fn ask(
        &self,
        session: &Session,
    ) -> impl Future<Output = Result<AccessToken, RefreshError>> + Send {
        self.0.valid_token(session)
    }

    /// Like [`valid_token`](Self::valid_token), after an API has rejected `rejected` with a 401: gives a token newer than that,
    /// even if the rejected one has not expired.
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
    /// Call it once per rejected request: an API that rejects every token would otherwise cause one refresh after the other.
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
        self.0.newer_token(session, rejected.set()).await
    }

    /// Logs a user in: puts `set` into `session` as a new grant, gives the session a new id (against fixation) and saves it.
    ///
    /// The ID token in `set` is not verified here: your OpenID Connect client has done that, with the nonce that only it knows. It is
    /// what every refresh of this login is held against: tokens of another `sub` or `iss` end it.
    ///
    /// A grant that the session held before is ended; its tokens are not revoked, because on some providers that would end the
    /// login just made.
    ///
    /// # Cancel safety
    /// Runs to its end even if the future is dropped.
    ///
    /// # Errors
    /// [`Unavailable`] if the session store fails, [`Misconfigured`] if the session does not come from
    /// [`session_layer`](Self::session_layer), [`Internal`] if the store panics, [`LoggedOut`](crate::RefreshErrorKind::LoggedOut)
    /// if the provider has ended this login meanwhile. Nobody is logged in then: the tokens are taken out of the session again.
    ///
    /// [`Internal`]: crate::RefreshErrorKind::Internal
    /// [`Unavailable`]: crate::RefreshErrorKind::Unavailable
    /// [`Misconfigured`]: crate::RefreshErrorKind::Misconfigured
    pub async fn log_in(&self, session: &Session, set: TokenSet) -> Result<(), RefreshError> {
        self.0.run_to_the_end(log_in::log_in(self.0.clone(), session.clone(), set)).await
    }

    /// Logs the user of `session` out, wherever the grant lives by now: takes the tokens out of the store and revokes them.
    ///
    /// A refresh under way is told: its waiters get [`LoggedOut`](crate::RefreshErrorKind::LoggedOut) and what it still brings is
    /// revoked. Without tokens in the session only the session itself is ended: so call this *before* `session.flush()` or
    /// axum-login's `logout`, after which it would find nothing to revoke.
    ///
    /// The browser's session at the provider is another matter (OpenID Connect RP-Initiated Logout 1.0): send the browser there.
    ///
    /// ```
    /// # use tower_token_refresh::{LogOut, TokenEndpoint, TokenRefresher, tower_sessions::Session};
    /// # async fn log_out(endpoint: TokenEndpoint, refresher: TokenRefresher, session: Session)
    /// # -> Result<Option<String>, Box<dyn std::error::Error>> {
    /// let done = refresher.log_out(&session, LogOut::EndSession).await?;
    /// // A clone of the endpoint that the refresher was built with.
    /// let Some(url) = endpoint.end_session_endpoint().await? else { return Ok(None) };
    /// let redirect_to = format!("{url}?id_token_hint={}", done.id_token().unwrap_or_default());
    /// # Ok(Some(redirect_to))
    /// # }
    /// ```
    ///
    /// # Cancel safety
    /// Runs to its end even if the future is dropped.
    ///
    /// # Errors
    /// [`Unavailable`] if the session store fails, [`Internal`] if it panics: the grant is ended in this process and its tokens are
    /// revoked even then, unless the session itself could not be read; taking it out of the store goes on in the background, for about
    /// ten minutes. [`Misconfigured`] if the session does not come from [`session_layer`](Self::session_layer): nothing is
    /// done. What the provider said to the revocation is in [`LoggedOut::revocation`] and is no error.
    ///
    /// [`Internal`]: crate::RefreshErrorKind::Internal
    /// [`Misconfigured`]: crate::RefreshErrorKind::Misconfigured
    /// [`Unavailable`]: crate::RefreshErrorKind::Unavailable
    pub async fn log_out(&self, session: &Session, how: LogOut) -> Result<LoggedOut, RefreshError> {
        self.0.run_to_the_end(log_out::log_out(self.0.clone(), session.clone(), how)).await
    }

    /// Where the provider posts its logout tokens (OpenID Connect Back-Channel Logout 1.0): a route for your router, without session,
    /// authentication or CSRF protection, as no browser calls it. See [`end_by_logout_token`](Self::end_by_logout_token) for what
    /// it does.
    ///
    /// It answers 200 when the logins have ended or there are none, 400 to a token that is refused, and 503 with `Retry-After` while
    /// the provider's keys or a session store are not at hand, so that the provider may send the token again.
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
    /// let store = MemoryStore::default();
    /// let refresher = TokenRefresher::builder(endpoint, store.clone()).back_channel_logout(store, key).build()?;
    /// let app: Router = Router::new()
    ///     .layer(refresher.session_layer())
    ///     .route("/auth/back-channel-logout", refresher.back_channel_logout()?);
    /// # let _ = app;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The refresher was built without [`back_channel_logout`](TokenRefresherBuilder::back_channel_logout).
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
                value: "turned off".into(),
                rule: "the refresher has to be built with it",
            });
        }
        Ok(crate::backchannel::route(self.clone()))
    }

    /// Ends the logins that a logout token of the provider names: with a `sid` those of one browser session at the provider, with a
    /// `sub` alone all of a user. What [`back_channel_logout`](Self::back_channel_logout) does, for other frameworks.
    ///
    /// Their sessions are deleted with everything in them, wherever they have moved; requests that wait for a refresh get
    /// [`LoggedOut`](crate::RefreshErrorKind::LoggedOut). Tokens are not revoked, as the provider has ended them; but those that a refresh
    /// under way still brings.
    ///
    /// A token counts once. It must be the provider's own (by its keys), for this client and at most 5 min old.
    ///
    /// # Cancel safety
    /// Runs to its end even if the future is dropped.
    ///
    /// # Errors
    /// The token is refused, or the keys or a session store are not at hand; in this case the same token may be used again. Sessions that
    /// were found, and not deleted within [`write_back`](crate::RefreshPolicy::write_back), are deleted in the background.
    pub async fn end_by_logout_token(&self, logout_token: &str) -> Result<(), BackChannelError> {
        let (core, token) = (self.0.clone(), logout_token.to_owned());
        let ending = self.0.tasks.spawn(async move { core.end_by_logout_token(&token).await });
        ending.await.unwrap_or_else(|_| Err(BackChannelError::Unavailable(failures::internal())))
    }

    /// Ends the work of this refresher, before its process or runtime ends: from now on no refresh is started, and this waits for those
    /// under way, for log ins and log outs, and for one more attempt at what the session store has refused so far: new sets, and the end of logins.
    ///
    /// Requests with a fresh token are served as before; those that need a refresh get
    /// [`Unavailable`](crate::RefreshErrorKind::Unavailable). Use it after the server has stopped taking requests:
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_token_refresh::TokenRefresher;
    /// # async fn serve(listener: tokio::net::TcpListener, app: axum::Router, refresher: TokenRefresher,
    /// #     stop: impl Future<Output = ()> + Send + 'static) -> std::io::Result<()> {
    /// axum::serve(listener, app).with_graceful_shutdown(stop).await?;
    /// if let Err(error) = refresher.shutdown(Duration::from_secs(20)).await {
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
    /// `limit` was over before the work was.
    pub async fn shutdown(&self, limit: Duration) -> Result<(), StillRunning> {
        self.0.shutdown(limit).await
    }

    /// What this process holds in memory now.
    #[must_use]
    pub fn memory(&self) -> MemoryUse {
        let (grants, set_bytes) = self.0.ledger.usage();
        MemoryUse { grants, set_bytes }
    }
}

/// What a [`TokenRefresher`] holds in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryUse {
    /// Logins that this process knows something of, from their last request for at least ten minutes.
    pub grants: usize,
    /// About how many bytes the token sets take that are held for them. [`ledger_bytes`](TokenRefresherBuilder::ledger_bytes) bounds those
    /// that the session store holds, too. The others come on top: at most one for each login whose session is just changing its id, or
    /// whose refresh landed while the store refused it, which is kept until the store takes it or the refresh token's life is over.
    pub set_bytes: usize,
}

impl fmt::Debug for TokenRefresher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRefresher")
            .field("provider", &self.0.provider)
            .field("policy", &self.0.policy)
            .field("ledger", &self.0.ledger)
            .field("flights", &self.0.flights)
            .finish_non_exhaustive()
    }
}

impl Core {
    /// Spawned, so that a caller that goes away stops nothing half way.
    async fn run_to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, RefreshError>> + Send + 'static,
    ) -> Result<T, RefreshError> {
        self.tasks.spawn(work).await.unwrap_or_else(|_| Err(failures::internal()))
    }
}
