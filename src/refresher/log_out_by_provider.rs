//! Logins that the provider ends (OpenID Connect Back-Channel Logout 1.0).
//!
//! A token with `sid` ends the logins of that one browser session, with or without `sub`; one with
//! `sub` alone all logins of the user. How a login ends is in [`ending`](super::ending).

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use serde_json::Value;

use super::{
    Core, TokenRefresher,
    ending::{Cause, Login},
    errors::unavailable,
    providers::AtProvider,
};
use crate::{
    back_channel::{BackChannel, BackChannelError, Fault, LogoutToken, ReplayCache, Work, verify},
    endpoint::{JwtClaims, VerifyError},
    error::{Chain, RefreshError, RefreshErrorKind},
    tokens::{RecordKey, claims},
};

/// How many logins are ended at once: a token may mean many.
const AT_ONCE: usize = 16;

/// Ends what the token names, and says how that went.
pub(super) async fn end_by_logout_token(core: &Core, token: &str) -> Result<(), BackChannelError> {
    let verified = verified(core, token).await;
    let is_verified = verified.is_ok();
    let ended = match verified {
        Ok(verified) => end_by_verified(core, verified).await,
        Err(error) => Err(error),
    };
    match &ended {
        Ok(logins) => {
            core.meter.back_channel("ended");
            tracing::info!(logins, "the provider has ended logins");
        }
        Err(error @ BackChannelError::Refused(_)) => {
            core.meter.back_channel("refused");
            report_refusal(core, error);
        }
        Err(error @ BackChannelError::UnderWay) => {
            core.meter.back_channel("under_way");
            tracing::debug!(%error, "a logout token came again");
        }
        Err(error) => {
            core.meter.back_channel("failed");
            report_failure(core, error, is_verified);
        }
    }
    ended.map(|_| ())
}

/// Before a token is verified nobody knows whether it is the provider's own: anybody can post one, as
/// often as they like.
fn report_failure(core: &Core, error: &BackChannelError, is_verified: bool) {
    let may_log = |channel: &BackChannel| channel.may_log_unverified(&core.clock);
    if is_verified {
        tracing::error!(
            error = %Chain(error),
            "logins that the provider ended may still stand here"
        );
    } else if core.back_channel.as_ref().is_none_or(may_log) {
        tracing::error!(
            error = %Chain(error),
            "logins that the provider ended may still stand here, as logout tokens cannot be \
             verified (logged every ten seconds at most)"
        );
    }
}

impl TokenRefresher {
    /// For what is refused before it is read as a logout token.
    #[cfg(feature = "axum")]
    pub(crate) fn report_refused_logout(&self, error: &BackChannelError) {
        report_refusal(&self.0, error);
    }
}

/// Anybody can post what is no logout token, as often as they like.
fn report_refusal(core: &Core, error: &BackChannelError) {
    let may_log = |channel: &BackChannel| channel.may_log_refusal(&core.clock);
    if core.back_channel.as_ref().is_none_or(may_log) {
        tracing::warn!(
            error = %Chain(error),
            "a logout token was refused (logged every ten seconds at most)"
        );
    }
}

/// A token that is its provider's own.
struct Verified<'a> {
    channel: &'a BackChannel,
    at: Arc<AtProvider>,
    token: LogoutToken,
}

async fn verified<'a>(core: &'a Core, token: &str) -> Result<Verified<'a>, BackChannelError> {
    let channel = core.back_channel.as_ref().ok_or(BackChannelError::TurnedOff)?;
    let at = sender(core, token).await?;
    match verify(token, &at.provider, &at.keys, &core.clock).await {
        Ok(token) => Ok(Verified { channel, at, token }),
        Err(Fault::Unverified(error @ VerifyError::Keys(_))) => {
            let why = "the keys to verify a logout token by could not be fetched";
            Err(BackChannelError::Unavailable(unavailable(why).with_source(error)))
        }
        Err(fault) => Err(fault.into()),
    }
}

/// How many logins that were.
async fn end_by_verified(core: &Core, verified: Verified<'_>) -> Result<usize, BackChannelError> {
    let Verified { channel, at, token } = verified;
    let issuer = at.provider.issuer_id();
    let failed = BackChannelError::Unavailable;
    let used = RecordKey::from_bytes(channel.names.token(issuer, &token.jti).to_bytes());
    // Dropped on an error below, and with it what we know of the token: it may be sent again.
    let taken = match channel.replays.take(used) {
        Ok(taken) => taken,
        Err(Work::UnderWay) => return Err(BackChannelError::UnderWay),
        Err(Work::Done) => return Err(Fault::Seen.into()),
    };
    if core.records.was_used(used).await.map_err(failed)? {
        taken.keep();
        return Err(Fault::Seen.into());
    }
    let ended = end_named(core, channel, issuer, &token).await.map_err(failed)?;
    taken.keep();
    if let Err(error) = core.writes.used(used, issuer, ReplayCache::stays()).await {
        // This process remembers it; the provider could do nothing about the others.
        tracing::warn!(error = %Chain(&error), "other processes do not know that a logout token was used");
    }
    Ok(ended)
}

/// The provider whose keys must have signed `token`: what the token says of that is not believed yet.
async fn sender(core: &Core, token: &str) -> Result<Arc<AtProvider>, BackChannelError> {
    let own = || core.providers.own();
    if !core.providers.are_several() {
        return Ok(own());
    }
    let claims: JwtClaims = claims::payload(token).unwrap_or_default();
    let iss = claims.get("iss").and_then(Value::as_str).unwrap_or_default();
    match core.providers.of(iss).await {
        Err(_) if own().provider.issuers().is_some_and(|own| own.accepts(iss, &claims)) => {
            Ok(own())
        }
        Err(error) if error.kind() == RefreshErrorKind::Misconfigured => {
            Err(Fault::Claim { name: "iss", rule: "is none of our providers'" }.into())
        }
        found => found.map_err(BackChannelError::Unavailable),
    }
}

async fn end_named(
    core: &Core,
    channel: &BackChannel,
    issuer: &str,
    token: &LogoutToken,
) -> Result<usize, RefreshError> {
    let name = channel.names.named_by(issuer, token);
    channel.named.remember(name);
    let logins = core.records.find(name).await?;
    let endings = logins
        .into_iter()
        .map(|key| core.endings.end(Login { key, grant: None }, Cause::Provider, None));
    let ended: Vec<_> = stream::iter(endings).buffer_unordered(AT_ONCE).collect().await;
    let count = ended.len();
    match ended.into_iter().find_map(|login| login.refused) {
        Some(refused) => Err(refused),
        None => Ok(count),
    }
}
