//! The token record of a new login: made before anybody can know its grant id, served only when
//! nothing has ended the login meanwhile.

use std::{sync::Arc, time::SystemTime};

use super::{
    Core,
    ending::Login,
    errors::{lacks_dpop_key, logged_out},
    writes::Write,
};
use crate::{
    back_channel::Tick,
    clock::Moment,
    error::RefreshError,
    token_store::Nonce,
    tokens::{CachedToken, GrantId, GrantTokens, TokenSet},
};

/// A login whose record is stored.
pub(super) struct NewLogin {
    grant: GrantId,
    write: Write,
    token: Arc<CachedToken>,
    read_at: Moment,
    began: Option<Tick>,
}

impl NewLogin {
    /// `began`: when the log in did, if the provider may tell of logouts.
    pub(super) async fn create(
        core: &Core,
        grant: GrantId,
        set: TokenSet,
        session_ends: SystemTime,
        began: Option<Tick>,
    ) -> Result<Self, RefreshError> {
        if set.lacks_dpop_key() {
            return Err(lacks_dpop_key());
        }
        let key = Login::of(grant).key;
        let own = core.providers.own();
        let issuer = set.issuer.clone().unwrap_or_else(|| own.provider.issuer_id().into());
        // A login that could not be refreshed is none.
        core.providers.of(&issuer).await?;
        let fallback = core.policy.fallback_lifetime;
        let first = GrantTokens::first(set, issuer, core.clock.now(), fallback);
        let read_at = core.clock.moment();
        let token = Arc::new(CachedToken::new(key, &first, read_at));
        core.warn_of_short_life(&first);
        core.records.learn_time(key).await?;
        let write = core.writes.prepare(key, first, Nonce::random(), session_ends)?;
        core.writes.create(&write).await?;
        // Here, where it is stored: from now on it can only end, and that has a line, too.
        core.audit.login(key, &(&write.tokens).into());
        Ok(Self { grant, write, token, read_at, began })
    }

    /// From now on its tokens are served. Fails if it has ended before.
    pub(super) fn begin(self, core: &Core) -> Result<(), RefreshError> {
        let tokens = &self.write.tokens;
        if let (Some(channel), Some(began)) = (&core.back_channel, self.began) {
            channel.names.warn_of_nameless(tokens);
            if channel.named.has_named_since(began, &channel.names.of(tokens)) {
                return Err(logged_out());
            }
        }
        core.endings.check(Login::of(self.grant).key)?;
        core.cache.put(self.grant, self.token, self.read_at);
        Ok(())
    }
}
