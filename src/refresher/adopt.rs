//! Logins without a session: whoever holds the handle has the login.

use std::sync::Arc;

use super::{
    Core,
    ending::{Cause, Login},
    errors::internal,
    log_out::{self, Revocation},
    new_login::NewLogin,
};
use crate::{
    error::RefreshError,
    tokens::{GrantHandle, GrantId, TokenSet},
};

pub(super) async fn adopt(core: Arc<Core>, set: TokenSet) -> Result<GrantHandle, RefreshError> {
    let began = core.back_channel.as_ref().map(|channel| channel.named.now());
    let grant = GrantId::random();
    core.listening.begin(&core);
    let its_core = core.clone();
    // In a task of its own: a store that panics must not leave a record that nobody has a handle of.
    let work = tokio::spawn(async move {
        // No session: the record lasts as long as its tokens.
        let no_session = its_core.clock.now();
        NewLogin::create(&its_core, grant, set, no_session, began).await?.begin(&its_core)
    });
    let made = work.await.unwrap_or_else(|_panic| Err(internal()));
    if let Err(error) = made {
        // What the token store refuses is logged there, and tried again.
        core.endings.end(Login::of(grant), Cause::FailedLogin, None).await;
        return Err(error);
    }
    Ok(GrantHandle(grant))
}

pub(super) async fn end(core: Arc<Core>, grant: GrantId) -> Result<Revocation, RefreshError> {
    let cached = core.cache.get(grant);
    let cause = Cause::Logout { with_session: false };
    let login = core.endings.end(Login::of(grant), cause, None).await;
    let revocation = log_out::revocation(&core, grant, &login, cached).await;
    match login.refused {
        Some(refused) => Err(refused),
        None => Ok(revocation),
    }
}
