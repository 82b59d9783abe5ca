//! Logins that the provider ends (OpenID Connect Back-Channel Logout 1.0), and what it takes to find them.
//!
//! A login that the provider names is ended as by [`log_out`](super::log_out), wherever it lives by now: its waiters are told, what a
//! refresh under way still brings is revoked, and its **session is deleted with everything in it**: whatever else in it says who is
//! logged in (axum-login's user, say) would otherwise stay logged in. The tokens themselves are not revoked: it is the provider that has
//! ended them.
//!
//! A token with `sid` ends the logins of that one browser session, with or without `sub`; one with `sub` alone all logins of the user.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use time::OffsetDateTime;
use tower_sessions::session::Id;

use super::{
    Core,
    failures::{logged_out, unavailable},
    flight_steps::Order,
};
use crate::{
    backchannel::{
        BackChannel, BackChannelError, Fault, Login, LogoutToken, Moment, Named, Work, verify,
    },
    endpoint::VerifyError,
    error::{Chain, RefreshError},
    grant::{GrantId, HeldSet},
    ledger::Ending,
    metrics,
};

/// How often a login that could not be noted is tried again.
const NOTE_ATTEMPTS: u32 = 8;

impl Core {
    /// Ends what the token names. How many sessions that were.
    pub(super) async fn end_by_logout_token(&self, token: &str) -> Result<(), BackChannelError> {
        let ended = self.end_by_token(token).await;
        match &ended {
            Ok(sessions) => {
                metrics::back_channel("ended");
                tracing::info!(sessions, "the provider has ended logins");
            }
            Err(error @ BackChannelError::Refused(_)) => {
                metrics::back_channel("refused");
                tracing::warn!(error = %Chain(error), "a logout token was refused");
            }
            Err(error) => {
                metrics::back_channel("failed");
                tracing::error!(error = %Chain(error), "the provider has ended logins, and that could not be carried out");
            }
        }
        ended.map(|_| ())
    }

    async fn end_by_token(&self, token: &str) -> Result<usize, BackChannelError> {
        let channel = self.back_channel.as_ref().ok_or(BackChannelError::TurnedOff)?;
        let failed = BackChannelError::Unavailable;
        let token = match verify(token, &self.provider, &self.keys, &self.clock).await {
            Err(Fault::Unverified(error @ VerifyError::Keys(_))) => {
                let why = "a logout token could not be verified for want of the provider's keys";
                return Err(failed(unavailable(why).with_source(error)));
            }
            verified => verified?,
        };
        let taken = self.in_time(channel.seen.take(&token.issuer, &token.jti)).await;
        // Dropped on an error below, and with it what we know of the token: it may be sent again.
        let taken = match taken.map_err(failed)? {
            Ok(taken) => taken,
            Err(Work::UnderWay) => {
                return Err(failed(unavailable("this very logout token is at work")));
            }
            Err(Work::Done) => return Err(Fault::Seen.into()),
        };
        let ended = self.end_named(channel, &token).await.map_err(failed)?;
        if let Err(error) = self.in_time(channel.seen.keep(taken)).await {
            // This process remembers it; there is nothing that the provider could do about the others.
            tracing::warn!(error = %Chain(&error), "a used logout token could not be noted for other processes");
        }
        Ok(ended)
    }

    async fn end_named(
        &self,
        channel: &BackChannel,
        token: &LogoutToken,
    ) -> Result<usize, RefreshError> {
        let named = match (&token.sid, &token.subject) {
            (Some(sid), _) => Named::Session(sid),
            (None, Some(subject)) => Named::User(subject),
            (None, None) => return Ok(0),
        };
        channel.named.remember(&token.issuer, named);
        let logins = self.retrying(|| channel.index.find(&token.issuer, named)).await?;
        let ended = join_all(logins.iter().map(|login| self.end_one(channel, login))).await;
        let ended = ended.into_iter().collect::<Result<Vec<GrantId>, _>>()?;
        let sessions = ended.len();
        if let Err(error) =
            self.in_time(channel.index.forget_all(&token.issuer, named, ended)).await
        {
            tracing::debug!(error = %Chain(&error), "ended logins are still in the index; they do no harm there");
        }
        Ok(sessions)
    }

    async fn end_one(&self, channel: &BackChannel, login: &Login) -> Result<GrantId, RefreshError> {
        let grant = login.grant;
        // Marked before the store is asked: nothing that this process writes from now on brings it back.
        let known = self.ledger.end(grant, Ending::WithSession);
        self.wake_waiters(known.as_deref());
        let mut home = Some(self.ledger.home_or(grant, login.home));
        let mut last = known;
        while let Some(id) = home {
            if let Some(set) = self.take(id, grant).await? {
                self.wake_waiters(Some(&*set));
                last = Some(Arc::from(set));
            }
            // A `create` that was under way may have moved the grant; one that begins now sees that it ended.
            home = self.ledger.home(grant).filter(|now| *now != id);
        }
        if let Some(set) = last {
            self.forget(channel, &set).await;
        }
        Ok(grant)
    }

    fn wake_waiters(&self, set: Option<&HeldSet>) {
        if let Some(set) = set {
            self.flights.settle(&set.flight_key(), Err(logged_out()));
        }
    }

    async fn forget(&self, channel: &BackChannel, set: &HeldSet) {
        if let Err(error) = self.in_time(channel.index.forget(set)).await {
            tracing::debug!(grant = %set.grant, error = %Chain(&error), "an ended login is still in the index; it does no harm there");
        }
    }

    /// The user has logged out: there is nothing left to find.
    pub(super) async fn forget_login(&self, set: Option<&HeldSet>) {
        if let (Some(channel), Some(set)) = (&self.back_channel, set) {
            self.forget(channel, set).await;
        }
    }

    /// What [`note_login`](Self::note_login) is to be told of when the log in began.
    pub(super) fn log_in_begins(&self) -> Option<Moment> {
        self.back_channel.as_ref().map(|channel| channel.named.now())
    }

    /// A login has been made. One that the provider could not end is none: fails if the index does not take it, and if the provider has
    /// ended it since the log in began.
    pub(super) async fn note_login(
        &self,
        set: &HeldSet,
        home: Id,
        expiry: OffsetDateTime,
        began: Option<Moment>,
    ) -> Result<(), RefreshError> {
        let (Some(channel), Some(began)) = (&self.back_channel, began) else { return Ok(()) };
        channel.index.warn_of_nameless(set);
        self.retrying(|| channel.index.note(set, home, expiry, &self.clock)).await?;
        if channel.named.has_named_since(began, set) {
            self.forget(channel, set).await;
            return Err(logged_out());
        }
        Ok(())
    }

    /// From now on the index is told where grants move.
    pub(super) fn follow_moves(self: &Arc<Self>) {
        if self.back_channel.is_none() {
            return;
        }
        // The core holds the store, which must not hold the core for ever.
        let core = Arc::downgrade(self);
        self.store.on_move(Box::new(move |set, home, expiry| match core.upgrade() {
            Some(core) => Box::pin(core.note_move(set, home, expiry)),
            None => Box::pin(std::future::ready(())),
        }));
    }

    /// A refresh has landed: notes the login for longer, and once more if the note got lost. Nobody waits for it.
    pub(super) fn note_again(self: &Arc<Self>, order: &Order, set: &Arc<HeldSet>) {
        if self.back_channel.is_some() {
            let home = self.ledger.home_or(set.grant, order.from());
            let (core, set, expiry) = (self.clone(), set.clone(), order.expiry());
            self.tasks.spawn(async move { core.keep_noting(set, home, expiry).await });
        }
    }

    /// The grant lives under another id now. Waits for one attempt; a store that refuses is tried again by a task.
    pub(super) async fn note_move(
        self: Arc<Self>,
        set: Arc<HeldSet>,
        home: Id,
        expiry: OffsetDateTime,
    ) {
        let Some(channel) = &self.back_channel else { return };
        if self.in_time(channel.index.note(&set, home, expiry, &self.clock)).await.is_err() {
            let core = self.clone();
            self.tasks.spawn(async move { core.keep_noting(set, home, expiry).await });
        }
    }

    async fn keep_noting(&self, set: Arc<HeldSet>, home: Id, expiry: OffsetDateTime) {
        let Some(channel) = &self.back_channel else { return };
        let mut pause = Duration::from_secs(1);
        for _ in 0..NOTE_ATTEMPTS {
            let moved = self.ledger.home(set.grant).is_some_and(|now| now != home);
            if moved || self.ledger.ending(set.grant).is_some() {
                return;
            }
            let noted = self.in_time(channel.index.note(&set, home, expiry, &self.clock)).await;
            let Err(error) = noted else { return };
            tracing::warn!(grant = %set.grant, error = %Chain(&error), "the provider may not be able to end a login: the index does not take it");
            if self.closing.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
            pause *= 2;
        }
    }
}
