//! The life of a refresh token: issued, presented, consumed, presented again.

use std::time::SystemTime;

use super::{Refusal, State};
use crate::testing::provider::Rotation;

pub(super) struct RefreshToken {
    pub(super) sid: String,
    pub(super) client_session: usize,
    scope: String,
    expires_at: SystemTime,
    /// The access token that came with it.
    access_token: String,
    consumed_at: Option<SystemTime>,
    /// What it was rotated into: more than one token if it was presented again in time.
    successors: Vec<String>,
}

/// A refresh token on its way to a client.
pub(in crate::testing) struct NewRefreshToken<'a> {
    pub(in crate::testing) token: &'a str,
    pub(in crate::testing) sid: &'a str,
    pub(in crate::testing) scope: &'a str,
    pub(in crate::testing) expires_at: SystemTime,
    pub(in crate::testing) access_token: &'a str,
}

/// What an accepted refresh token stands for.
pub(in crate::testing) struct Redeemed {
    pub(in crate::testing) sid: String,
    pub(in crate::testing) scope: String,
    pub(in crate::testing) expires_at: SystemTime,
    pub(in crate::testing) access_token: String,
}

impl State {
    /// Presents a refresh token. With `keep` it stays good, whatever the provider's way is.
    ///
    /// A consumed token that comes back too late ends its client session, whoever holds the newer
    /// tokens by then; unless the provider only refuses it.
    pub(in crate::testing) fn redeem(
        &mut self,
        token: &str,
        now: SystemTime,
        rotation: Rotation,
        keep: bool,
    ) -> Result<Redeemed, Refusal> {
        let standing = self.standing(token, now, rotation);
        let known = self.refresh_tokens.get_mut(token).ok_or(Refusal::Unknown)?;
        if let Err(refusal) = standing {
            let reused = matches!(refusal, Refusal::Reused | Refusal::Stale);
            if reused
                && rotation != Rotation::ReuseRefused
                && let Some(session) = self.sessions.get_mut(&known.sid)
            {
                session.client_session_ended = true;
            }
            return Err(refusal);
        }
        if rotation.consumes() && !keep {
            known.consumed_at.get_or_insert(now);
        }
        Ok(Redeemed {
            sid: known.sid.clone(),
            scope: known.scope.clone(),
            expires_at: known.expires_at,
            access_token: known.access_token.clone(),
        })
    }

    /// Whether a refresh token is good now. Looks without touching.
    fn standing(&self, token: &str, now: SystemTime, rotation: Rotation) -> Result<(), Refusal> {
        let known = self.refresh_tokens.get(token).ok_or(Refusal::Unknown)?;
        if known.expires_at <= now {
            return Err(Refusal::Expired);
        }
        let session = self.sessions.get(&known.sid).ok_or(Refusal::SessionEnded)?;
        if session.ended {
            return Err(Refusal::SessionEnded);
        }
        if known.client_session != session.client_session {
            return Err(Refusal::BeforeClientSession);
        }
        if session.client_session_ended {
            return Err(Refusal::ClientSessionEnded);
        }
        let Some(consumed_at) = known.consumed_at else { return Ok(()) };
        if self.is_stale(known) {
            return Err(Refusal::Stale);
        }
        if now < consumed_at + rotation.grace() { Ok(()) } else { Err(Refusal::Reused) }
    }

    /// Whether what came after this token has been presented, too.
    fn is_stale(&self, known: &RefreshToken) -> bool {
        let successors = known.successors.iter();
        successors
            .filter_map(|token| self.refresh_tokens.get(token))
            .any(|next| next.consumed_at.is_some())
    }

    pub(in crate::testing) fn is_refresh_token_live(
        &self,
        token: &str,
        now: SystemTime,
        rotation: Rotation,
    ) -> bool {
        self.standing(token, now, rotation).is_ok()
    }

    pub(in crate::testing) fn scope_of(&self, refresh_token: &str) -> Option<&str> {
        self.refresh_tokens.get(refresh_token).map(|known| known.scope.as_str())
    }

    /// To the client session as it is now.
    pub(in crate::testing) fn add_refresh_token(&mut self, new: &NewRefreshToken<'_>) {
        self.issued.push(new.token.to_owned());
        let known = RefreshToken {
            sid: new.sid.to_owned(),
            client_session: self.sessions.get(new.sid).map_or(0, |session| session.client_session),
            scope: new.scope.to_owned(),
            expires_at: new.expires_at,
            access_token: new.access_token.to_owned(),
            consumed_at: None,
            successors: Vec::new(),
        };
        self.refresh_tokens.insert(new.token.to_owned(), known);
    }

    pub(in crate::testing) fn add_successor(&mut self, refresh_token: &str, successor: &str) {
        if let Some(known) = self.refresh_tokens.get_mut(refresh_token) {
            known.successors.push(successor.to_owned());
        }
    }

    /// The same token goes on, with another access token and perhaps for longer.
    pub(in crate::testing) fn go_on(
        &mut self,
        refresh_token: &str,
        expires_at: SystemTime,
        access_token: &str,
    ) {
        if let Some(known) = self.refresh_tokens.get_mut(refresh_token) {
            known.expires_at = expires_at;
            access_token.clone_into(&mut known.access_token);
        }
    }
}
