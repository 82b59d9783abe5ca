//! What the issuer remembers, and its rules: no HTTP, no clock of its own, no token format.

use std::{
    collections::{BTreeMap, HashMap},
    time::SystemTime,
};

use super::{Endpoint, authorization::Codes};

/// Every login, every token, every request so far.
#[derive(Default)]
pub(super) struct State {
    sessions: HashMap<String, UserSession>,
    refresh_tokens: HashMap<String, RefreshToken>,
    access_tokens: HashMap<String, AccessToken>,
    /// How often each refresh token was presented, known to us or not.
    presented: HashMap<String, usize>,
    /// Every token string handed out, in order.
    issued: Vec<String>,
    requests: BTreeMap<Endpoint, usize>,
    pub(super) codes: Codes,
    pub(super) refresh_requests: usize,
    pub(super) refreshes: usize,
}

pub(super) struct UserSession {
    pub(super) user: String,
    ended: Option<Ended>,
}

/// Why a user session is over. The answers differ, as Keycloak's do.
#[derive(Clone, Copy)]
enum Ended {
    Reuse,
    LoggedOut,
}

struct RefreshToken {
    sid: String,
    scope: String,
    expires_at: SystemTime,
    consumed: bool,
}

pub(super) struct AccessToken {
    /// None for a client's own token (`client_credentials`).
    pub(super) sid: Option<String>,
    pub(super) subject: String,
    pub(super) user: String,
    expires_at: SystemTime,
    revoked: bool,
}

/// Why a refresh token was not accepted: always `invalid_grant`, with Keycloak's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Unknown,
    Expired,
    SessionEnded,
    SessionDetached,
    Reused,
}

impl Refusal {
    pub(super) fn description(self) -> &'static str {
        match self {
            Self::Unknown => "Invalid refresh token",
            Self::Expired => "Token is not active",
            Self::SessionEnded => "Session not active",
            Self::SessionDetached => "Session doesn't have required client",
            Self::Reused => "Maximum allowed refresh token reuse exceeded",
        }
    }
}

/// What an accepted refresh token stands for.
pub(super) struct Redeemed {
    pub(super) sid: String,
    pub(super) scope: String,
}

impl State {
    pub(super) fn start_session(&mut self, sid: String, user: &str) {
        self.sessions.insert(sid, UserSession { user: user.to_owned(), ended: None });
    }

    pub(super) fn session(&self, sid: &str) -> Option<&UserSession> {
        self.sessions.get(sid).filter(|session| session.ended.is_none())
    }

    /// Ends the session with this sid and every session of the user with this name. Says how many were alive.
    pub(super) fn end_sessions(&mut self, sid_or_user: &str) -> usize {
        let mut ended = 0;
        for (sid, session) in &mut self.sessions {
            if (sid == sid_or_user || session.user == sid_or_user) && session.ended.is_none() {
                session.ended = Some(Ended::LoggedOut);
                ended += 1;
            }
        }
        ended
    }

    /// Presents a refresh token. With `consume` it cannot be presented again: the second time ends its session,
    /// whoever holds the newer tokens by then.
    pub(super) fn redeem(
        &mut self,
        token: &str,
        now: SystemTime,
        consume: bool,
    ) -> Result<Redeemed, Refusal> {
        let known = self.refresh_tokens.get_mut(token).ok_or(Refusal::Unknown)?;
        if known.expires_at <= now {
            return Err(Refusal::Expired);
        }
        let session = self.sessions.get_mut(&known.sid).ok_or(Refusal::SessionEnded)?;
        match session.ended {
            Some(Ended::Reuse) => return Err(Refusal::SessionDetached),
            Some(Ended::LoggedOut) => return Err(Refusal::SessionEnded),
            None => {}
        }
        if known.consumed {
            session.ended = Some(Ended::Reuse);
            return Err(Refusal::Reused);
        }
        known.consumed = consume;
        Ok(Redeemed { sid: known.sid.clone(), scope: known.scope.clone() })
    }

    pub(super) fn scope_of(&self, refresh_token: &str) -> Option<&str> {
        self.refresh_tokens.get(refresh_token).map(|known| known.scope.as_str())
    }

    /// Revokes a token (RFC 7009). A refresh token, consumed or not, takes its whole session along; an access token
    /// goes alone; an unknown token is no error.
    pub(super) fn revoke(&mut self, token: &str) {
        if let Some(sid) = self.refresh_tokens.get(token).map(|known| known.sid.clone()) {
            self.end_sessions(&sid);
        } else if let Some(access) = self.access_tokens.get_mut(token) {
            access.revoked = true;
        }
    }

    pub(super) fn add_refresh_token(&mut self, token: &str, sid: &str, scope: &str, expires_at: SystemTime) {
        self.issued.push(token.to_owned());
        self.refresh_tokens.insert(
            token.to_owned(),
            RefreshToken { sid: sid.to_owned(), scope: scope.to_owned(), expires_at, consumed: false },
        );
    }

    /// Without rotation the same token goes on, and each use prolongs it.
    pub(super) fn prolong(&mut self, refresh_token: &str, expires_at: SystemTime) {
        if let Some(known) = self.refresh_tokens.get_mut(refresh_token) {
            known.expires_at = expires_at;
        }
    }

    pub(super) fn add_access_token(
        &mut self,
        token: &str,
        sid: Option<&str>,
        (subject, user): (&str, &str),
        expires_at: SystemTime,
    ) {
        self.issued.push(token.to_owned());
        let access = AccessToken {
            sid: sid.map(str::to_owned),
            subject: subject.to_owned(),
            user: user.to_owned(),
            expires_at,
            revoked: false,
        };
        self.access_tokens.insert(token.to_owned(), access);
    }

    pub(super) fn add_code(&mut self, code: &str) {
        self.issued.push(code.to_owned());
    }

    pub(super) fn add_id_token(&mut self, token: &str) {
        self.issued.push(token.to_owned());
    }

    pub(super) fn live_access_token(&self, token: &str, now: SystemTime) -> Option<&AccessToken> {
        self.access_tokens
            .get(token)
            .filter(|access| !access.revoked && now < access.expires_at)
            .filter(|access| access.sid.as_ref().is_none_or(|sid| self.session(sid).is_some()))
    }

    pub(super) fn is_refresh_token_live(&self, token: &str, now: SystemTime) -> bool {
        self.refresh_tokens.get(token).is_some_and(|known| {
            !known.consumed && now < known.expires_at && self.session(&known.sid).is_some()
        })
    }

    /// The sid itself, or the session that an access or refresh token belongs to.
    pub(super) fn sid_of<'a>(&'a self, sid_or_token: &'a str) -> Option<&'a str> {
        if self.sessions.contains_key(sid_or_token) {
            return Some(sid_or_token);
        }
        let refresh = self.refresh_tokens.get(sid_or_token).map(|known| known.sid.as_str());
        refresh.or_else(|| self.access_tokens.get(sid_or_token)?.sid.as_deref())
    }

    pub(super) fn count_request(&mut self, endpoint: Endpoint) {
        *self.requests.entry(endpoint).or_default() += 1;
    }

    pub(super) fn count_presented(&mut self, refresh_token: &str) {
        *self.presented.entry(refresh_token.to_owned()).or_default() += 1;
    }

    pub(super) fn requests(&self, endpoint: Endpoint) -> usize {
        self.requests.get(&endpoint).copied().unwrap_or_default()
    }

    pub(super) fn presented(&self, refresh_token: &str) -> usize {
        self.presented.get(refresh_token).copied().unwrap_or_default()
    }

    pub(super) fn max_presented(&self) -> usize {
        self.presented.values().copied().max().unwrap_or_default()
    }

    pub(super) fn issued(&self) -> &[String] {
        &self.issued
    }
}
