//! The issuer's memory and its rules, without HTTP, clock or token format.

mod refresh_tokens;

use std::{
    collections::{BTreeMap, HashMap},
    time::SystemTime,
};

pub(super) use self::refresh_tokens::NewRefreshToken;
use self::refresh_tokens::RefreshToken;
use super::{
    Endpoint,
    authorization::Codes,
    dpop::DpopState,
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
    pub(super) dpop: DpopState,
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

pub(super) struct AccessToken {
    /// None for a client's own token (`client_credentials`).
    pub(super) sid: Option<String>,
    pub(super) subject: String,
    pub(super) user: String,
    client_session: usize,
    expires_at: SystemTime,
    revoked: bool,
}

/// Why a refresh token was not accepted. The provider has its own words for each.
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

    /// Ends an access token before its time.
    pub(super) fn end_access_token(&mut self, token: &str) {
        if let Some(access) = self.access_tokens.get_mut(token) {
            access.revoked = true;
        }
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
