//! The issuer's memory and its rules, without HTTP, clock or token format.

use std::{
    collections::{BTreeMap, HashMap},
    time::SystemTime,
};

use super::{
    Endpoint,
    authorization::Codes,
    provider::{Reach, Rules},
};

/// Every login, every token, every request so far.
#[derive(Default)]
pub(super) struct State {
    sessions: HashMap<String, UserSession>,
    refresh_tokens: HashMap<String, RefreshToken>,
    access_tokens: HashMap<String, AccessToken>,
    /// How often each refresh token was presented, known to us or not.
    presented: HashMap<String, usize>,
    /// Every token that was to be revoked, in order.
    pub(super) revoked: Vec<String>,
    /// Every token string handed out, in order.
    issued: Vec<String>,
    requests: BTreeMap<Endpoint, usize>,
    pub(super) codes: Codes,
    pub(super) refresh_requests: usize,
    pub(super) refreshes: usize,
}

/// A browser that is logged in, and what its logins at the client share: Keycloak's client session,
/// or oidc-provider's grant.
pub(super) struct UserSession {
    pub(super) user: String,
    ended: bool,
    /// Counts the client sessions: the next login makes a new one if the last has ended.
    client_session: usize,
    client_session_ended: bool,
}

struct RefreshToken {
    sid: String,
    client_session: usize,
    scope: String,
    expires_at: SystemTime,
    consumed: bool,
    /// What it was rotated into.
    successor: Option<String>,
}

pub(super) struct AccessToken {
    /// None for a client's own token (`client_credentials`).
    pub(super) sid: Option<String>,
    pub(super) subject: String,
    pub(super) user: String,
    client_session: usize,
    expires_at: SystemTime,
    revoked: bool,
}

/// Why a refresh token was not accepted: always `invalid_grant`, in the provider's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Unknown,
    Expired,
    SessionEnded,
    ClientSessionEnded,
    /// The browser has logged in again since.
    BeforeClientSession,
    /// The one presented last.
    Reused,
    /// One presented before that.
    Stale,
}

/// The outcome of a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Revocation {
    Done,
    NotLive,
    /// An ID token.
    Unsupported,
}

/// What an accepted refresh token stands for.
pub(super) struct Redeemed {
    pub(super) sid: String,
    pub(super) scope: String,
}

impl State {
    pub(super) fn start_session(&mut self, sid: String, user: &str) {
        let user = user.to_owned();
        let session =
            UserSession { user, ended: false, client_session: 0, client_session_ended: false };
        self.sessions.insert(sid, session);
    }

    /// The session if its logins are alive.
    pub(super) fn session(&self, sid: &str) -> Option<&UserSession> {
        self.sessions.get(sid).filter(|session| !session.ended && !session.client_session_ended)
    }

    /// A browser that was logged in as somebody comes again: with a new client session where the
    /// last has ended. False if it is no longer logged in.
    pub(super) fn return_to_session(&mut self, sid: &str) -> bool {
        let Some(session) = self.sessions.get_mut(sid).filter(|session| !session.ended) else {
            return false;
        };
        if session.client_session_ended {
            session.client_session += 1;
            session.client_session_ended = false;
        }
        true
    }

    pub(super) fn user_of(&self, sid: &str) -> Option<&str> {
        self.sessions.get(sid).map(|session| session.user.as_str())
    }

    fn is_current(&self, sid: &str, client_session: usize) -> bool {
        self.session(sid).is_some_and(|session| session.client_session == client_session)
    }

    /// Ends the session with this sid and every session of the user with this name. Says how many
    /// were alive.
    pub(super) fn end_sessions(&mut self, sid_or_user: &str) -> usize {
        let mut ended = 0;
        for (sid, session) in &mut self.sessions {
            if (sid == sid_or_user || session.user == sid_or_user) && !session.ended {
                session.ended = true;
                ended += usize::from(!session.client_session_ended);
            }
        }
        ended
    }

    /// Presents a refresh token. With `consume` it cannot be presented again: the second time ends
    /// its client session, whoever holds the newer tokens by then.
    pub(super) fn redeem(
        &mut self,
        token: &str,
        now: SystemTime,
        consume: bool,
    ) -> Result<Redeemed, Refusal> {
        let is_stale = self.is_stale(token);
        let known = self.refresh_tokens.get_mut(token).ok_or(Refusal::Unknown)?;
        if known.expires_at <= now {
            return Err(Refusal::Expired);
        }
        let session = self.sessions.get_mut(&known.sid).ok_or(Refusal::SessionEnded)?;
        if session.ended {
            return Err(Refusal::SessionEnded);
        }
        if known.client_session != session.client_session {
            return Err(Refusal::BeforeClientSession);
        }
        if session.client_session_ended {
            return Err(Refusal::ClientSessionEnded);
        }
        if known.consumed {
            session.client_session_ended = true;
            return Err(if is_stale { Refusal::Stale } else { Refusal::Reused });
        }
        known.consumed = consume;
        Ok(Redeemed { sid: known.sid.clone(), scope: known.scope.clone() })
    }

    /// Whether what came after this token has been presented, too.
    fn is_stale(&self, refresh_token: &str) -> bool {
        let successor =
            self.refresh_tokens.get(refresh_token).and_then(|known| known.successor.as_ref());
        successor.and_then(|token| self.refresh_tokens.get(token)).is_some_and(|next| next.consumed)
    }

    pub(super) fn scope_of(&self, refresh_token: &str) -> Option<&str> {
        self.refresh_tokens.get(refresh_token).map(|known| known.scope.as_str())
    }

    /// Revokes a token (RFC 7009); a consumed refresh token as well as the newest.
    pub(super) fn revoke(&mut self, token: &str, rules: &Rules) -> Revocation {
        self.revoked.push(token.to_owned());
        let home = self.home_of(token).map(|(sid, number)| (sid.to_owned(), number));
        let reach = if let Some(access) = self.access_tokens.get_mut(token) {
            access.revoked = true;
            rules.revoked_access_token
        } else if self.refresh_tokens.contains_key(token) {
            rules.revoked_refresh_token
        } else if self.issued.iter().any(|issued| issued == token) {
            return Revocation::Unsupported;
        } else {
            return Revocation::NotLive;
        };
        let Some((sid, client_session)) = home else { return Revocation::Done };
        if !self.is_current(&sid, client_session) {
            return Revocation::NotLive;
        }
        if let Some(session) = self.sessions.get_mut(&sid) {
            match reach {
                Reach::Token => {}
                Reach::ClientSession => session.client_session_ended = true,
                Reach::UserSession => session.ended = true,
            }
        }
        Revocation::Done
    }

    /// To the client session as it is now.
    pub(super) fn add_refresh_token(
        &mut self,
        token: &str,
        sid: &str,
        scope: &str,
        expires_at: SystemTime,
    ) {
        self.issued.push(token.to_owned());
        let known = RefreshToken {
            sid: sid.to_owned(),
            client_session: self.sessions.get(sid).map_or(0, |session| session.client_session),
            scope: scope.to_owned(),
            expires_at,
            consumed: false,
            successor: None,
        };
        self.refresh_tokens.insert(token.to_owned(), known);
    }

    pub(super) fn set_successor(&mut self, refresh_token: &str, successor: &str) {
        if let Some(known) = self.refresh_tokens.get_mut(refresh_token) {
            known.successor = Some(successor.to_owned());
        }
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
            client_session: sid
                .and_then(|sid| self.sessions.get(sid))
                .map_or(0, |home| home.client_session),
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
            .filter(|access| {
                access.sid.as_ref().is_none_or(|sid| self.is_current(sid, access.client_session))
            })
    }

    pub(super) fn is_refresh_token_live(&self, token: &str, now: SystemTime) -> bool {
        self.refresh_tokens.get(token).is_some_and(|known| {
            !known.consumed
                && now < known.expires_at
                && self.is_current(&known.sid, known.client_session)
        })
    }

    /// The sid itself, or the session that an access or refresh token belongs to.
    pub(super) fn sid_of<'a>(&'a self, sid_or_token: &'a str) -> Option<&'a str> {
        if self.sessions.contains_key(sid_or_token) {
            return Some(sid_or_token);
        }
        self.home_of(sid_or_token).map(|(sid, _)| sid)
    }

    /// Whether the session with this sid is alive, or the client session that a token belongs to.
    pub(super) fn is_alive(&self, sid_or_token: &str) -> bool {
        self.session(sid_or_token).is_some()
            || self.home_of(sid_or_token).is_some_and(|(sid, number)| self.is_current(sid, number))
    }

    fn home_of(&self, token: &str) -> Option<(&str, usize)> {
        if let Some(known) = self.refresh_tokens.get(token) {
            return Some((&known.sid, known.client_session));
        }
        let access = self.access_tokens.get(token)?;
        Some((access.sid.as_deref()?, access.client_session))
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
