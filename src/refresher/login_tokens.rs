//! [`LoginTokens`]: the tokens of one login, for whoever outlives a request.

use std::{
    fmt,
    pin::{Pin, pin},
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::StatusCode;
use tokio::time::{Instant, Sleep};
use tower_sessions::Session;

use super::{
    Core, TokenRefresher,
    asker::Asker,
    confirm::{confirmed, confirmed_within},
    ending::Login,
    errors::{SOON, is_outage},
    valid_token::{at_once, grant_of, newer_token_of, refresh_early, valid_token_of},
};
use crate::{
    error::RefreshError,
    tokens::{
        AccessToken, CachedToken, Generation, GrantHandle, GrantId, Issued, RecordKey, Standing,
    },
};

/// The shortest pause between two looks at a login that nothing has happened to.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// The tokens of one login, for a WebSocket, a stream or a job that outlives its request. Cheap to
/// clone.
///
/// Get it from a request (with the `axum` feature it is an extractor), from a session by
/// [`TokenRefresher::login_tokens`](crate::TokenRefresher::login_tokens), or for a login without a
/// session by [`TokenRefresher::tokens`](crate::TokenRefresher::tokens). It belongs to that login
/// and to no other: once the login has ended it gives no token, even if its session holds another
/// login by now, and however long ago that was.
///
/// In a handler, `Option<LoginTokens>` is None for whoever is not logged in.
///
/// Nothing that it does prolongs the session, which may end before the login does: whoever holds
/// this has the tokens until the user logs out, the provider refuses them, or the token record is
/// too old.
///
/// ```
/// # use tower_token_refresh::{LoginTokens, RefreshError};
/// # async fn send(_: &str) {}
/// async fn stream(mut tokens: LoginTokens) -> Result<(), RefreshError> {
///     send(tokens.token().await?.secret()).await;
///     loop {
///         // Waits for the next refresh. The error says why the login has ended.
///         send(tokens.changed().await?.secret()).await;
///     }
/// }
/// # let _ = stream;
/// ```
///
/// `Debug` shows neither tokens nor the login.
#[derive(Clone)]
pub struct LoginTokens {
    core: Arc<Core>,
    grant: GrantId,
    session_ends: SystemTime,
    /// The last one that `changed` has given, or that of the request.
    seen: Option<(Generation, Issued)>,
}

impl TokenRefresher {
    /// The tokens of the login that `session` holds, for what outlives the request. They are fresh
    /// when this returns.
    ///
    /// # Cancel safety
    /// As [`valid_token`](Self::valid_token).
    ///
    /// # Errors
    /// As [`valid_token`](Self::valid_token).
    pub async fn login_tokens(&self, session: &Session) -> Result<LoginTokens, RefreshError> {
        LoginTokens::of_session(&self.0, session).await
    }
}

impl LoginTokens {
    pub(super) fn of_handle(core: Arc<Core>, handle: &GrantHandle) -> Self {
        // No session: the record lasts as long as its tokens.
        let session_ends = core.clock.now();
        Self { core, grant: handle.0, session_ends, seen: None }
    }

    pub(super) async fn of_session(
        core: &Arc<Core>,
        session: &Session,
    ) -> Result<Self, RefreshError> {
        let grant = grant_of(core, session).await?;
        let token = valid_token_of(core, grant, Asker::Request(session)).await?;
        let session_ends = session.expiry_date().into();
        Ok(Self { core: core.clone(), grant, session_ends, seen: Some(seen(token.cached())) })
    }

    /// An access token that is fresh now, as [`TokenRefresher::valid_token`] gives it.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: a refresh that has begun goes on to its end.
    ///
    /// # Errors
    /// See [`RefreshErrorKind`](crate::RefreshErrorKind). After the end of the login, one with the
    /// status 401.
    ///
    /// [`TokenRefresher::valid_token`]: crate::TokenRefresher::valid_token
    pub async fn token(&self) -> Result<AccessToken, RefreshError> {
        valid_token_of(&self.core, self.grant, self.asker()).await
    }

    /// A token newer than `rejected`, which an API has refused with a 401, even if that has not
    /// expired. Call it once per refused call.
    ///
    /// # Cancel safety
    /// As [`token`](Self::token).
    ///
    /// # Errors
    /// As [`token`](Self::token).
    pub async fn newer_than(&self, rejected: &AccessToken) -> Result<AccessToken, RefreshError> {
        newer_token_of(&self.core, self.grant, self.asker(), rejected.cached()).await
    }

    /// The newest token that this process knows, without waiting for anything. It may have expired.
    /// None if the login has ended as far as this process knows, or if it knows no token of it.
    #[must_use]
    pub fn current(&self) -> Option<AccessToken> {
        let token = self.core.cache.get(self.grant)?;
        self.core.endings.check(token.key).ok()?;
        Some(self.core.access_token(token))
    }

    /// Waits for the next token: one newer than this function has given, and than the one of the
    /// request that this was made from. Of a [handle](GrantHandle) it gives the present one first.
    /// If [`token`](Self::token) had to refresh, it gives that one again. Near the end of a
    /// token's life this refreshes it, so that a stream that only waits here always has a good one.
    ///
    /// While the provider or a store cannot be reached it goes on waiting.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    /// The login has ended; the status is 401. This process knows at once of an ending of its own;
    /// of others' after `confirm_after` at the latest.
    pub async fn changed(&mut self) -> Result<AccessToken, RefreshError> {
        let watch = self.core.watchers.watch(self.key());
        loop {
            let woken = watch.next();
            let pause = match self.token().await {
                Ok(token) if self.is_new(token.cached()) => {
                    self.seen = Some(seen(token.cached()));
                    return Ok(token);
                }
                Ok(token) => self.until_next_look(token.cached()),
                Err(error) if is_end(&error) => return Err(error),
                Err(error) => error.retry_after().unwrap_or(SOON),
            };
            let _elapsed = tokio::time::timeout(pause, woken).await;
        }
    }

    /// Waits until the login has ended, and says why; the status is 401. It asks nobody for tokens,
    /// so a login ends by a refused refresh only if somebody else refreshes it.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn ended(&self) -> RefreshError {
        let watch = self.core.watchers.watch(self.key());
        loop {
            let woken = watch.next();
            let pause = match confirmed(&self.core, self.grant).await {
                Ok(token) => self.until_confirmation(&token),
                Err(error) if is_end(&error) => return error,
                Err(error) => error.retry_after().unwrap_or(SOON),
            };
            let _elapsed = tokio::time::timeout(pause, woken).await;
        }
    }

    /// What a job keeps to go on with this login later, or in another process.
    #[must_use]
    pub fn handle(&self) -> GrantHandle {
        GrantHandle(self.grant)
    }

    pub(crate) fn key(&self) -> RecordKey {
        Login::of(self.grant).key
    }

    pub(crate) fn is_of(&self, refresher: &TokenRefresher) -> bool {
        Arc::ptr_eq(&self.core, &refresher.0)
    }

    /// Does `work` for a login that stands. It is told when `wait_timeout` is over. A token store
    /// that is down ends no login: then `work` is asked all the same. A refresh that is due begins,
    /// and is not waited for.
    pub(crate) async fn while_it_stands<T>(
        &self,
        work: impl AsyncFnOnce(Instant) -> Result<T, RefreshError>,
    ) -> Result<T, RefreshError> {
        let limit = pin!(tokio::time::sleep(self.core.policy.wait_timeout));
        let until = limit.deadline();
        if let Err(error) = self.check_with_store(limit).await
            && !is_outage(&error)
        {
            return Err(error);
        }
        let answer = work(until).await;
        // Last: the user may have logged out while this waited, or just before it was woken.
        self.check_not_ended()?;
        answer
    }

    async fn check_with_store(&self, limit: Pin<&mut Sleep>) -> Result<(), RefreshError> {
        if at_once(&self.core, self.grant).is_some() {
            return Ok(());
        }
        let token = confirmed_within(&self.core, self.grant, limit).await?;
        match self.core.standing(&token, self.core.clock.now()) {
            Standing::Fresh => {}
            // Nothing can refresh it: this ends the login.
            Standing::Expired if !token.has_refresh_token => drop(self.token().await?),
            Standing::DueSoon | Standing::Expired => {
                refresh_early(&self.core, self.asker(), self.grant, &token).await;
            }
        }
        Ok(())
    }

    /// Fails if the login has ended, as far as this process knows.
    pub(crate) fn check_not_ended(&self) -> Result<(), RefreshError> {
        self.core.endings.check(self.key())
    }

    fn is_new(&self, token: &CachedToken) -> bool {
        self.seen.is_none_or(|(generation, issued)| {
            token.generation > generation && !token.issued().is(issued)
        })
    }

    fn asker(&self) -> Asker<'static> {
        Asker::Holder { session_ends: self.session_ends }
    }

    /// Half of what is left of the token's life, so that the time of its early refresh is not
    /// missed.
    fn until_next_look(&self, token: &CachedToken) -> Duration {
        let left = token.expires_at.duration_since(self.core.clock.now()).unwrap_or_default();
        self.until_confirmation(token).min(left / 2).max(SHORTEST_PAUSE)
    }

    fn until_confirmation(&self, token: &CachedToken) -> Duration {
        let age = self.core.clock.since(token.confirmed_at());
        self.core.policy.confirm_after.saturating_sub(age).max(SHORTEST_PAUSE)
    }
}

fn seen(token: &CachedToken) -> (Generation, Issued) {
    (token.generation, token.issued())
}

/// An outage ends nothing.
fn is_end(error: &RefreshError) -> bool {
    error.kind().status() == StatusCode::UNAUTHORIZED
}

impl fmt::Debug for LoginTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginTokens").finish_non_exhaustive()
    }
}
