//! Logins without a session: whoever holds the handle has the login.

use std::{sync::Arc, time::SystemTime};

use super::{
    Core, TokenRefresher,
    ending::{Cause, Login},
    errors::internal,
    log_out::{self, Revocation},
    login_tokens::LoginTokens,
    new_login::NewLogin,
};
use crate::{
    back_channel::Tick,
    error::RefreshError,
    tokens::{GrantHandle, GrantId, RecordKey, TokenSet},
};

impl TokenRefresher {
    /// Takes `set` as a login without a session: for jobs and connectors that call an API for a
    /// user who is not there. Its refreshes are shared like those of any login, in any number of
    /// processes. Store the handle; it is the only way to the tokens.
    ///
    /// The token record is kept until the refresh token ends, or for 30 days after the last refresh
    /// if the provider does not say when that is.
    ///
    /// ```
    /// # use tower_token_refresh::{GrantHandle, RefreshError, TokenRefresher, TokenSet};
    /// # async fn example(refresher: TokenRefresher, set: TokenSet)
    /// # -> Result<(), Box<dyn std::error::Error>> {
    /// // Where the user links the account:
    /// let stored = refresher.adopt(set).await?.to_secret();
    /// // In the job, in any process:
    /// let handle = GrantHandle::from_secret(&stored)?;
    /// let token = refresher.tokens(&handle).token().await?;
    /// // Where the user unlinks it:
    /// refresher.end(&handle).await?;
    /// # let _ = token;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    /// Runs to its end even if the future is dropped; then nobody has the handle, and the record
    /// goes when its tokens end.
    ///
    /// # Errors
    /// As [`log_in`](Self::log_in). There is no login then.
    pub async fn adopt(&self, set: TokenSet) -> Result<GrantHandle, RefreshError> {
        // No session: the record lasts as long as its tokens.
        let no_session = self.0.clock.now();
        let began = self.0.now_for_logouts();
        self.0.run_to_the_end(adopt(self.0.clone(), set, no_session, began)).await
    }

    /// The tokens of an [adopted](Self::adopt) login. Nothing is asked for yet, so that a login that
    /// does not exist shows at the first [`token`](LoginTokens::token).
    #[must_use]
    pub fn tokens(&self, handle: &GrantHandle) -> LoginTokens {
        LoginTokens::of_handle(self.0.clone(), handle)
    }

    /// Ends the login of `handle`, in every process, and revokes its tokens. If it came from a
    /// session, that session holds no login from now on.
    ///
    /// It waits at most 2 s for the provider; a revocation that takes longer goes on in the
    /// background. To end a login that has ended is no error.
    ///
    /// # Cancel safety
    /// Runs to its end even if the future is dropped.
    ///
    /// # Errors
    /// As [`log_out`](Self::log_out), and
    /// [`Misconfigured`](crate::RefreshErrorKind::Misconfigured) if the login is at another
    /// refresher's provider: nothing has ended then. While the token store does not answer, nobody
    /// knows, and the login ends.
    pub async fn end(&self, handle: &GrantHandle) -> Result<Revocation, RefreshError> {
        self.0.run_to_the_end(end(self.0.clone(), handle.0)).await
    }
}

pub(super) async fn adopt(
    core: Arc<Core>,
    set: TokenSet,
    session_ends: SystemTime,
    began: Option<Tick>,
) -> Result<GrantHandle, RefreshError> {
    let grant = GrantId::random();
    core.listening.begin(&core);
    let its_core = core.clone();
    // In a task of its own: a store that panics must not leave a record that nobody has a handle of.
    let work = tokio::spawn(async move {
        NewLogin::create(&its_core, grant, set, session_ends, began).await?.begin(&its_core)
    });
    let made = work.await.unwrap_or_else(|_panic| Err(internal()));
    if let Err(error) = made {
        // What the token store refuses is logged there, and tried again.
        core.endings.end(Login::of(grant), Cause::FailedLogin, None).await;
        return Err(error);
    }
    Ok(GrantHandle(grant))
}

async fn end(core: Arc<Core>, grant: GrantId) -> Result<Revocation, RefreshError> {
    let cached = core.cache.get(grant);
    if cached.is_none() {
        // Nobody would revoke another provider's tokens. What is cached has been served here.
        core.records.check_is_ours(RecordKey::of(grant)).await?;
    }
    let cause = Cause::Logout { with_session: false };
    let login = core.endings.end(Login::of(grant), cause, None).await;
    let revocation = log_out::revocation(&core, grant, &login, cached).await;
    match login.refused {
        Some(refused) => Err(refused),
        None => Ok(revocation),
    }
}
