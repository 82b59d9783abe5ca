//! Log in: a new grant takes the place of whatever the session held.

use std::sync::Arc;

use serde_json::Value;
use tower_sessions::{Session, session::Id};

use super::{
    Core,
    failures::{session_failed, store_failed, unguarded},
};
use crate::{
    error::RefreshError,
    grant::{GrantId, HeldSet},
    ledger::{Custody, Ending},
    session::entry::Entry,
    token::TokenSet,
};

pub(super) async fn log_in(
    core: Arc<Core>,
    session: Session,
    set: TokenSet,
) -> Result<(), RefreshError> {
    let began = core.log_in_begins();
    let first = Arc::new(HeldSet::first(
        set,
        core.provider.issuer_id(),
        core.clock.now(),
        core.policy.fallback_lifetime,
    ));
    let grant = first.grant;
    core.replace_previous(&session).await?;
    let (its_core, its_session, its_set) = (core.clone(), session.clone(), first.clone());
    // In a task of its own: a store that panics must not keep the tokens from being taken out again.
    if let Err(error) =
        core.run_to_the_end(async move { its_core.put_in(&its_session, &its_set).await }).await
    {
        core.take_out(&session, grant).await;
        return Err(error);
    }
    let Some(home) = core.ledger.home(grant) else {
        return Err(core.leave_unguarded(&session, grant).await);
    };
    if let Err(error) = core.note_login(&first, home, session.expiry_date(), began).await {
        return Err(core.take_back(&session, grant, home, error).await);
    }
    core.ledger.learn(first, Custody::Record);
    Ok(())
}

impl Core {
    /// Ends the grant that the session held before. Its tokens are not revoked: a provider with one session per browser would end
    /// the new login with them.
    async fn replace_previous(&self, session: &Session) -> Result<(), RefreshError> {
        // Asked first: tower-sessions forgets the id of a session whose record has gone.
        let id = session.id();
        let previous = session.get_value(&self.key).await.map_err(session_failed)?;
        let moved = || id.and_then(|id| self.ledger.gone_from(id));
        let Some(grant) =
            previous.as_ref().and_then(Value::as_str).and_then(grant_of).or_else(moved)
        else {
            return Ok(());
        };
        self.ledger.end(grant, Ending::Replaced);
        let home = self.ledger.home(grant).or_else(|| session.id());
        if let Some(home) = home {
            self.bury(home, grant).await?;
        }
        Ok(())
    }

    async fn put_in(&self, session: &Session, first: &HeldSet) -> Result<(), RefreshError> {
        let text = self.store.entry_of(first).map_err(store_failed)?;
        session.insert_value(&self.key, Value::String(text)).await.map_err(session_failed)?;
        session.cycle_id().await.map_err(session_failed)?;
        // At once: with a 5xx answer tower-sessions would not save, and neither the old record nor a new one would be left.
        session.save().await.map_err(session_failed)
    }

    /// Otherwise a redirect's response would save the session with the tokens, and with it a login that was reported to have failed.
    async fn take_out(&self, session: &Session, grant: GrantId) {
        self.ledger.end(grant, Ending::Replaced);
        if let Err(error) = session.remove_value(&self.key).await {
            tracing::warn!(error = %session_failed(error), "after a failed log in the session could not be read");
        }
    }

    /// The tokens have been saved, and the login cannot stand.
    async fn take_back(
        &self,
        session: &Session,
        grant: GrantId,
        home: Id,
        error: RefreshError,
    ) -> RefreshError {
        self.take_out(session, grant).await;
        // The caller is told of the first error; this one is logged, and tried again.
        let _ = self.bury(home, grant).await;
        error
    }

    /// The session was saved, but not by our store.
    async fn leave_unguarded(&self, session: &Session, grant: GrantId) -> RefreshError {
        self.ledger.end(grant, Ending::Replaced);
        let cleaned = match session.remove_value(&self.key).await {
            Ok(_) => session.save().await,
            Err(error) => Err(error),
        };
        match cleaned {
            Ok(()) => unguarded(),
            Err(error) => unguarded().with_source(session_failed(error)),
        }
    }
}

fn grant_of(text: &str) -> Option<GrantId> {
    Entry::parse(text).ok().map(|entry| entry.grant)
}
