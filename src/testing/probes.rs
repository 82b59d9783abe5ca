//! Logins at the issuer, and questions about what has happened.

use serde_json::Value;
use uuid::Uuid;

use super::{Endpoint, StrictIssuer, issuer::lock};
use crate::DpopKey;

/// # Logins
impl StrictIssuer {
    /// Logs `user` in: a new user session with its own `sid`. Returns the token response of the
    /// code exchange.
    #[must_use]
    pub fn log_in(&self, user: &str) -> Value {
        self.log_in_with(user, None)
    }

    /// Logs `user` in with tokens that are bound to `key`, as if the code's exchange had come with a
    /// proof of it (DPoP; RFC 9449, section 5). The refresh token is bound if the client is public.
    #[must_use]
    pub fn log_in_bound_to(&self, user: &str, key: &DpopKey) -> Value {
        self.log_in_with(user, Some(key.thumbprint()))
    }

    fn log_in_with(&self, user: &str, jkt: Option<&str>) -> Value {
        let sid = Uuid::new_v4().to_string();
        let mut state = lock(&self.inner.state);
        state.start_session(sid.clone(), user);
        let answer = self.issue(&mut state, &sid, user, super::issuer::SCOPE, jkt);
        (self.inner.rules.answer)(&answer)
    }

    /// Logs in again in the same browser, which is named by its `sid` or by an access or refresh
    /// token.
    ///
    /// The two logins share the user session and end together. If the browser is no longer logged
    /// in (its session was ended or, like Keycloak, its refresh token revoked), it gets a session
    /// with another `sid`.
    ///
    /// # Panics
    /// If there has never been such a session.
    #[must_use]
    pub fn log_in_again(&self, sid_or_token: &str) -> Value {
        let mut state = lock(&self.inner.state);
        let known = state.sid_of(sid_or_token).map(str::to_owned);
        let Some((sid, user)) =
            known.and_then(|sid| state.user_of(&sid).map(str::to_owned).map(|user| (sid, user)))
        else {
            drop(state);
            panic!("there has never been such a session");
        };
        if !state.return_to_session(&sid) {
            drop(state);
            return self.log_in(&user);
        }
        let answer = self.issue(&mut state, &sid, &user, super::issuer::SCOPE, None);
        (self.inner.rules.answer)(&answer)
    }

    /// Ends the session with this `sid`, or all of this user, as an administrator does. Returns how
    /// many were alive.
    pub fn end_session(&self, sid_or_user: &str) -> usize {
        lock(&self.inner.state).end_sessions(sid_or_user)
    }

    /// The `sub` that this issuer's tokens carry for `user`.
    #[must_use]
    pub fn subject_of(&self, user: &str) -> String {
        super::issuer::subject_of(user)
    }
}

/// # Questions
impl StrictIssuer {
    /// Requests that reached this endpoint, whatever the answer.
    #[must_use]
    pub fn requests(&self, endpoint: Endpoint) -> usize {
        lock(&self.inner.state).requests(endpoint)
    }

    /// Requests that reached the token endpoint.
    #[must_use]
    pub fn token_requests(&self) -> usize {
        self.requests(Endpoint::Token)
    }

    /// Requests that reached the revocation endpoint.
    #[must_use]
    pub fn revocations(&self) -> usize {
        self.requests(Endpoint::Revocation)
    }

    /// Refresh requests that reached the issuer: granted, refused, or answered by the script.
    #[must_use]
    pub fn refresh_requests(&self) -> usize {
        lock(&self.inner.state).refresh_requests
    }

    /// Refreshes that the issuer granted, whether or not the answer arrived.
    #[must_use]
    pub fn refreshes(&self) -> usize {
        lock(&self.inner.state).refreshes
    }

    /// How often this refresh token was presented to the token endpoint.
    #[must_use]
    pub fn presented(&self, refresh_token: &str) -> usize {
        lock(&self.inner.state).presented(refresh_token)
    }

    /// How often the most presented refresh token was presented: once by a good client. What was
    /// answered with an error counts too, so assert [`refreshes`](Self::refreshes) where the issuer
    /// was down.
    #[must_use]
    pub fn max_presented(&self) -> usize {
        lock(&self.inner.state).max_presented()
    }

    /// The tokens that clients asked to revoke, in order. Some may have been dead already.
    #[must_use]
    pub fn revoked(&self) -> Vec<String> {
        lock(&self.inner.state).revoked.clone()
    }

    /// Whether the provider would accept this access token now: it is known, has neither expired
    /// nor been revoked, and its session is alive.
    #[must_use]
    pub fn is_access_token_live(&self, token: &str) -> bool {
        lock(&self.inner.state).live_access_token(token, self.now()).is_some()
    }

    /// Whether a refresh with this token would succeed now.
    #[must_use]
    pub fn is_refresh_token_live(&self, token: &str) -> bool {
        lock(&self.inner.state).is_refresh_token_live(token, self.now(), self.inner.rotation)
    }

    /// Whether a user session is alive. It is named by its `sid` or by an access or refresh token.
    #[must_use]
    pub fn session_alive(&self, sid_or_token: &str) -> bool {
        lock(&self.inner.state).is_alive(sid_or_token)
    }

    /// Every token and code ever issued, in order: what no log may contain. The client's secret is
    /// not among them, because the default one is a word that logs may contain.
    #[must_use]
    pub fn every_secret(&self) -> Vec<String> {
        lock(&self.inner.state).issued().to_vec()
    }
}
