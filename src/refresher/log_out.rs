//! Log out: the grant ends wherever it lives, and its newest tokens are revoked.

use std::{fmt, sync::Arc};

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tower_sessions::{Session, session, session_store};

use super::{
    Core,
    failures::{endpoint_failed, logged_out, session_failed, unguarded},
};
use crate::{
    endpoint,
    error::RefreshError,
    grant::{GrantId, HeldSet},
    ledger::Ending,
    session::entry::Entry,
};

/// What becomes of the session when its user logs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogOut {
    /// The session ends with everything in it.
    EndSession,
    /// The session stays, under a new id and without tokens: a shopping basket, a language.
    KeepSession,
}

/// What a log out has done.
#[derive(Clone)]
#[non_exhaustive]
pub struct LoggedOut {
    /// What the provider said to the revocation.
    pub revocation: Revocation,
    id_token: Option<SecretString>,
}

/// What became of the tokens at the provider.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Revocation {
    /// The provider has revoked them (RFC 7009 section 2.2).
    Revoked,
    /// The session held no tokens, or none that this refresher can read.
    NothingToRevoke,
    /// Turned off by [`revoke_on_log_out`](crate::TokenRefresherBuilder::revoke_on_log_out).
    TurnedOff,
    /// The provider has no revocation endpoint, or none was given.
    NotSupported,
    /// The provider could not be asked, or refused.
    Failed(RefreshError),
}

impl LoggedOut {
    /// The ID token of the login that ended, for `id_token_hint` (OpenID Connect RP-Initiated Logout section 2).
    #[must_use]
    pub fn id_token(&self) -> Option<&str> {
        self.id_token.as_ref().map(ExposeSecret::expose_secret)
    }
}

impl fmt::Debug for LoggedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoggedOut").field("revocation", &self.revocation).finish_non_exhaustive()
    }
}

pub(super) async fn log_out(
    core: Arc<Core>,
    session: Session,
    how: LogOut,
) -> Result<LoggedOut, RefreshError> {
    // Asked first: tower-sessions forgets the id of a session whose record has gone.
    let id = session.id();
    let snapshot = core.snapshot(&session).await?;
    // The browser may not have the cookie of the session's new id yet.
    let moved = || id.and_then(|id| core.ledger.gone_from(id)).map(|grant| (grant, None));
    let Some((grant, snapshot)) = snapshot.or_else(moved) else {
        core.end_session(&session, how).await?;
        return Ok(LoggedOut { revocation: Revocation::NothingToRevoke, id_token: None });
    };
    let ending = match how {
        LogOut::EndSession => Ending::WithSession,
        LogOut::KeepSession => Ending::Final,
    };
    let known = core.ledger.end(grant, ending);
    let newest_known = newest_of([known, snapshot]);
    if let Some(set) = &newest_known {
        core.flights.settle(&set.flight_key(), Err(logged_out()));
    }

    // The store may fail or panic; the tokens are revoked all the same, and the caller is told after that.
    let (its_core, its_session) = (core.clone(), session.clone());
    let taken = core
        .run_to_the_end(async move { its_core.take_from_home(&its_session, grant, how).await })
        .await;
    let (its_core, its_session) = (core.clone(), session.clone());
    let ended =
        core.run_to_the_end(async move { its_core.end_session(&its_session, how).await }).await;

    let stored = taken.as_ref().ok().cloned().flatten();
    let newest = newest_of([stored, newest_known]);
    let revocation = match &newest {
        None => Revocation::NothingToRevoke,
        Some(_) if !core.revoke_on_log_out => Revocation::TurnedOff,
        Some(set) => match core.revoke(set).await {
            Ok(endpoint::Revocation::Revoked) => Revocation::Revoked,
            Ok(endpoint::Revocation::NotSupported) => Revocation::NotSupported,
            Err(error) => Revocation::Failed(endpoint_failed(error)),
        },
    };
    if taken.is_ok() {
        // Else the provider may still have to end it.
        core.forget_login(newest.as_deref()).await;
    }
    taken?;
    ended?;
    Ok(LoggedOut { revocation, id_token: newest.and_then(|set| set.id_token.clone()) })
}

type Snapshot = (GrantId, Option<Arc<HeldSet>>);

impl Core {
    /// What the request's own session says. An entry that cannot be read is no reason not to log out.
    async fn snapshot(&self, session: &Session) -> Result<Option<Snapshot>, RefreshError> {
        let value = self.retrying(|| load_value(session, &self.key)).await?;
        let entry = value.as_ref().and_then(Value::as_str).map(Entry::parse);
        let Some(Ok(entry)) = entry else {
            return Ok(None);
        };
        if entry.guard != Some(self.store.mark()) {
            return Err(unguarded());
        }
        Ok(Some((entry.grant, self.store.open(&entry).ok().flatten().map(Arc::new))))
    }

    /// Takes the grant out of the record it lives in, and gives back the set that was there.
    async fn take_from_home(
        &self,
        session: &Session,
        grant: GrantId,
        how: LogOut,
    ) -> Result<Option<Arc<HeldSet>>, RefreshError> {
        let mut newest: Option<Arc<HeldSet>> = None;
        let mut home = self.ledger.home(grant).or_else(|| session.id());
        while let Some(id) = home {
            let found = match how {
                LogOut::EndSession => self.take(id, grant).await?,
                LogOut::KeepSession => self.bury(id, grant).await?,
            };
            let found = found.map(Arc::<HeldSet>::from);
            newest = newest_of([newest, found]);
            // A `create` that was under way may have moved the grant; one that begins now sees that it ended.
            home = self.ledger.home(grant).filter(|now| *now != id);
        }
        Ok(newest)
    }

    async fn end_session(&self, session: &Session, how: LogOut) -> Result<(), RefreshError> {
        match how {
            LogOut::EndSession => session.flush().await.map_err(session_failed),
            LogOut::KeepSession => {
                if session.remove_value(&self.key).await.map_err(session_failed)?.is_none()
                    && session.id().is_none()
                {
                    return Ok(());
                }
                session.cycle_id().await.map_err(session_failed)?;
                session.save().await.map_err(session_failed)
            }
        }
    }
}

fn newest_of(sets: [Option<Arc<HeldSet>>; 2]) -> Option<Arc<HeldSet>> {
    sets.into_iter().flatten().max_by_key(|set| set.generation)
}

async fn load_value(session: &Session, key: &str) -> session_store::Result<Option<Value>> {
    session.get_value(key).await.map_err(|error| match error {
        session::Error::Store(error) => error,
        // Taking a value out converts nothing; the text would not be passed on in any case.
        session::Error::SerdeJson(_) => session_store::Error::Decode(String::new()),
    })
}
