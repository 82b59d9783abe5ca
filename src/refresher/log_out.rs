//! Logout: the login ends in this process, in the token store and in the session, in this order,
//! and its newest tokens are revoked.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use http::Uri;
use secrecy::{ExposeSecret, SecretString};
use tower_sessions::Session;
use url::Url;

use super::{
    Core,
    ending::{Cause, EndedLogin, Login},
    errors::{endpoint_failed, internal, session_failed},
};
use crate::{
    endpoint,
    error::{Chain, RefreshError},
    session::PointerError,
    tokens::{CachedToken, GrantId},
};

/// The longest that a logout waits for the provider. What takes longer goes on in the background.
const PROVIDER_LIMIT: Duration = Duration::from_secs(2);

/// The longest URL to send a browser to with an ID token in it.
const LONGEST_URL: usize = 2048;

/// What becomes of the session when its user logs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logout {
    /// The session ends with everything in it.
    EndSession,
    /// The session stays, under a new id and without the login: a shopping basket, a language.
    KeepSession,
}

/// What a logout has done.
#[derive(Clone)]
#[non_exhaustive]
pub struct LogoutOutcome {
    /// What the provider said to the revocation.
    pub revocation: Revocation,
    id_token: Option<SecretString>,
    client_id: Arc<str>,
    end_session_endpoint: Option<Uri>,
}

/// What became of the tokens at the provider.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Revocation {
    /// The provider has revoked them (RFC 7009 section 2.2).
    Revoked,
    /// The provider has not answered within 2 s. The request goes on in the background.
    InBackground,
    /// The session held no login, or one whose tokens this refresher cannot read.
    NothingToRevoke,
    /// Turned off by [`revoke_on_log_out`](crate::TokenRefresherBuilder::revoke_on_log_out).
    TurnedOff,
    /// The provider has no revocation endpoint, or none was given.
    NotSupported,
    /// The provider could not be asked, or refused.
    Failed(RefreshError),
}

impl LogoutOutcome {
    /// The ID token of the login that ended, for `id_token_hint` (OpenID Connect RP-Initiated
    /// Logout section 2).
    #[must_use]
    pub fn id_token(&self) -> Option<&str> {
        self.id_token.as_ref().map(ExposeSecret::expose_secret)
    }

    /// Where to send the browser so that its session at the provider ends as well (OpenID Connect
    /// RP-Initiated Logout 1.0): with `id_token_hint`, `client_id`, and `return_to` as
    /// `post_logout_redirect_uri`, which must be one that the provider knows.
    ///
    /// A URL of more than 2 KiB would be cut or refused on its way, by proxies and by servers that
    /// bound the request line. So a longer one has no `id_token_hint`, which the specification only
    /// recommends (section 2); the provider may then ask the user whether to log out.
    ///
    /// None if the provider has no end session endpoint, or its discovery document could not be
    /// fetched within 2 s. The URL holds the ID token: send it to the browser and log it nowhere.
    #[must_use]
    pub fn end_session_url(&self, return_to: Option<&str>) -> Option<String> {
        let endpoint = Url::parse(&self.end_session_endpoint.as_ref()?.to_string()).ok()?;
        let url_with = |hint: Option<&str>| {
            let mut url = endpoint.clone();
            let hint = hint.map(|hint| ("id_token_hint", hint));
            let return_to = return_to.map(|to| ("post_logout_redirect_uri", to));
            let client_id = Some(("client_id", &*self.client_id));
            url.query_pairs_mut().extend_pairs([hint, client_id, return_to].into_iter().flatten());
            String::from(url)
        };
        let url = url_with(self.id_token());
        Some(if url.len() > LONGEST_URL { url_with(None) } else { url })
    }
}

impl fmt::Debug for LogoutOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogoutOutcome")
            .field("revocation", &self.revocation)
            .finish_non_exhaustive()
    }
}

pub(super) async fn log_out(
    core: Arc<Core>,
    session: Session,
    how: Logout,
) -> Result<LogoutOutcome, RefreshError> {
    let grant = match core.in_time(core.pointer.read(&session)).await? {
        Ok(grant) => grant,
        // An entry that cannot be read is no reason not to end the session.
        Err(PointerError::Malformed) => None,
        Err(PointerError::Session(error)) => return Err(session_failed(error)),
    };
    let Some(grant) = grant else {
        core.in_time(end_session(&core, &session, how)).await??;
        let browser = browser_logout(&core, None).await;
        return Ok(outcome(Revocation::NothingToRevoke, None, browser));
    };
    let cached = core.cache.get(grant);
    let cause = Cause::Logout { with_session: how == Logout::EndSession };
    let session_ends = Some(session.expiry_date().into());
    let login = core.endings.end(Login::of(grant), cause, session_ends).await;

    // The session store may fail, hang or panic; the tokens are revoked all the same.
    let (its_core, its_session) = (core.clone(), session.clone());
    let ended = core.run_to_the_end(async move {
        its_core.in_time(end_session(&its_core, &its_session, how)).await?
    });
    let ended = ended.await;
    let newest = login.newest.as_ref().map(|tokens| tokens.issuer.clone());
    let issuer = newest.or_else(|| cached.as_ref().map(|token| token.issuer.clone()));
    let browser = browser_logout(&core, issuer.as_deref());
    let (revocation, browser) = tokio::join!(revocation(&core, grant, &login, cached), browser);
    let id_token = login.newest.and_then(|tokens| tokens.id_token);
    match login.refused {
        Some(refused) => Err(refused),
        None => ended.map(|()| outcome(revocation, id_token, browser)),
    }
}

fn outcome(
    revocation: Revocation,
    id_token: Option<SecretString>,
    (client_id, end_session_endpoint): (Arc<str>, Option<Uri>),
) -> LogoutOutcome {
    LogoutOutcome { revocation, id_token, client_id, end_session_endpoint }
}

/// Revokes the tokens of a login that has ended, in a task that outlives the wait.
pub(super) async fn revocation(
    core: &Arc<Core>,
    grant: GrantId,
    login: &EndedLogin,
    cached: Option<Arc<CachedToken>>,
) -> Revocation {
    let (newest, cached) = if login.revoke { (login.newest.clone(), cached) } else { (None, None) };
    if newest.is_none() && cached.is_none() {
        return Revocation::NothingToRevoke;
    }
    if !core.revoker.is_enabled() {
        return Revocation::TurnedOff;
    }
    let revoker = core.revoker.clone();
    let revoking = core.tasks.spawn(async move {
        match (newest, cached) {
            (Some(tokens), _) => revoker.revoke(Login::of(grant).key, &tokens).await,
            (None, Some(token)) => revoker.revoke_cached(&token).await,
            (None, None) => Ok(endpoint::Revocation::NotSupported),
        }
    });
    match within(PROVIDER_LIMIT, revoking).await {
        None => Revocation::InBackground,
        Some(Ok(Ok(endpoint::Revocation::Revoked))) => Revocation::Revoked,
        Some(Ok(Ok(endpoint::Revocation::NotSupported))) => Revocation::NotSupported,
        Some(Ok(Err(error))) => Revocation::Failed(error),
        Some(Err(_panic)) => Revocation::Failed(internal()),
    }
}

/// The client id and the end session endpoint of the provider that the login was at.
async fn browser_logout(core: &Core, issuer: Option<&str>) -> (Arc<str>, Option<Uri>) {
    let own = core.providers.own();
    let asked = within(PROVIDER_LIMIT, async {
        let at = core.providers.of(issuer.unwrap_or(own.provider.issuer_id())).await?;
        let endpoint = at.provider.end_session_url().await;
        let endpoint = endpoint.map_err(|error| endpoint_failed(error.into()))?;
        Ok::<_, RefreshError>((at.provider.client_id().into(), endpoint))
    });
    let known = asked.await.and_then(|asked| {
        let logged = asked.inspect_err(|error| {
            tracing::warn!(error = %Chain(error), "the end session endpoint is not known");
        });
        logged.ok()
    });
    known.unwrap_or_else(|| (own.provider.client_id().into(), None))
}

async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, work).await.ok()
}

async fn end_session(core: &Core, session: &Session, how: Logout) -> Result<(), RefreshError> {
    match how {
        Logout::EndSession => session.flush().await.map_err(session_failed),
        Logout::KeepSession => {
            let removed = core.pointer.remove(session).await.map_err(session_failed)?;
            if !removed && session.id().is_none() {
                return Ok(());
            }
            session.cycle_id().await.map_err(session_failed)?;
            session.save().await.map_err(session_failed)
        }
    }
}
