//! The token set that a grant holds at one generation: what its token record says.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use secrecy::SecretString;

use super::{
    Generation, HeaderToken, Lifetime, NewRefreshToken, TokenSet,
    lifetime::{LifetimeSources, saturating_add},
};
use crate::dpop::DpopKey;

/// A token set with its place in a grant. Never changed once stored.
#[derive(Clone)]
pub(crate) struct GrantTokens {
    pub(crate) generation: Generation,
    pub(crate) access_token: HeaderToken,
    /// The key that the tokens are bound to: one per grant.
    pub(crate) dpop_key: Option<DpopKey>,
    pub(crate) refresh_token: Option<SecretString>,
    pub(crate) id_token: Option<SecretString>,
    pub(crate) scope: Option<String>,
    pub(crate) issuer: Arc<str>,
    /// The user, as told at log in: a grant keeps the one it began with.
    pub(crate) subject: Option<Arc<str>>,
    pub(crate) sid: Option<String>,
    /// What the application said of the user at log in: a JSON object.
    pub(crate) identity: Option<Arc<str>>,
    pub(crate) obtained_at: SystemTime,
    pub(crate) expires_at: SystemTime,
    pub(crate) refresh_expires_at: Option<SystemTime>,
}

impl GrantTokens {
    /// The first set of a new grant.
    pub(crate) fn first(
        set: TokenSet,
        issuer: Arc<str>,
        now: SystemTime,
        fallback_lifetime: Duration,
    ) -> Self {
        let obtained_at = set.obtained_at.unwrap_or(now);
        // Without a refresh token, only an API can tell that a token without a lifetime is over.
        let fallback = set.refresh_token.as_ref().map(|_| fallback_lifetime);
        Self::stamp(set, Generation::FIRST, issuer, obtained_at, fallback)
    }

    /// A set that is no login's.
    pub(crate) fn alone(
        set: TokenSet,
        generation: Generation,
        asked_at: SystemTime,
        fallback_lifetime: Duration,
    ) -> Self {
        let obtained_at = set.obtained_at.unwrap_or(asked_at);
        Self::stamp(set, generation, "".into(), obtained_at, Some(fallback_lifetime))
    }

    /// The set after this one, from the answer to a refresh. What the answer leaves out stays as it
    /// was (RFC 6749 section 6, OpenID Connect Core section 12.2). Unless it says when it was asked
    /// for, its life counts from `sent_at`.
    pub(crate) fn next(
        &self,
        answer: TokenSet,
        sent_at: SystemTime,
        fallback_lifetime: Duration,
    ) -> Self {
        let sent_at = answer.obtained_at.unwrap_or(sent_at);
        let generation = self.generation.next();
        let fallback = Some(fallback_lifetime);
        let mut next = Self::stamp(answer, generation, self.issuer.clone(), sent_at, fallback);
        if next.refresh_token.is_none() {
            next.refresh_token.clone_from(&self.refresh_token);
            next.refresh_expires_at = self.refresh_expires_at;
        }
        next.id_token = next.id_token.or_else(|| self.id_token.clone());
        next.scope = next.scope.or_else(|| self.scope.clone());
        next.sid = next.sid.or_else(|| self.sid.clone());
        next.subject.clone_from(&self.subject);
        next.identity.clone_from(&self.identity);
        next
    }

    /// The same tokens with a new refresh token.
    pub(crate) fn with_refresh_token(&self, new: NewRefreshToken, sent_at: SystemTime) -> Self {
        Self {
            generation: self.generation.next(),
            refresh_token: Some(new.token),
            refresh_expires_at: new.expires_in.map(|life| saturating_add(sent_at, life)),
            ..self.clone()
        }
    }

    /// These tokens with the access token of an earlier set.
    pub(crate) fn with_access_token_of(self, earlier: &Self) -> Self {
        Self {
            access_token: earlier.access_token.clone(),
            obtained_at: earlier.obtained_at,
            expires_at: earlier.expires_at,
            ..self
        }
    }

    fn stamp(
        set: TokenSet,
        generation: Generation,
        issuer: Arc<str>,
        obtained_at: SystemTime,
        fallback: Option<Duration>,
    ) -> Self {
        let lifetime = LifetimeSources {
            told: set.expires_at,
            expires_in: set.expires_in,
            jwt: set.jwt_expires_at,
            fallback,
        };
        Self {
            generation,
            access_token: set.access_token,
            dpop_key: set.dpop_key,
            refresh_token: set.refresh_token,
            id_token: set.id_token,
            scope: set.scope,
            issuer,
            subject: set.subject.map(Into::into),
            sid: set.sid,
            identity: set.identity,
            obtained_at,
            expires_at: lifetime.expires_at(obtained_at),
            refresh_expires_at: set
                .refresh_expires_in
                .map(|lifetime| saturating_add(obtained_at, lifetime)),
        }
    }

    /// The same, told by another clock.
    pub(crate) fn with_times(self, by_it: impl Fn(SystemTime) -> SystemTime) -> Self {
        Self {
            obtained_at: by_it(self.obtained_at),
            expires_at: by_it(self.expires_at),
            refresh_expires_at: self.refresh_expires_at.map(&by_it),
            ..self
        }
    }

    pub(crate) fn lifetime(&self) -> Lifetime {
        Lifetime { obtained_at: self.obtained_at, expires_at: self.expires_at }
    }
}

#[cfg(test)]
impl GrantTokens {
    /// Tokens that were obtained at `now` and live for `life`.
    pub(crate) fn sample(generation: u64, now: SystemTime, life: Duration) -> Self {
        Self {
            generation: Generation(generation),
            access_token: HeaderToken::new(&format!("at-{generation}"), super::Scheme::Bearer)
                .expect("visible ASCII"),
            dpop_key: None,
            refresh_token: Some(format!("rt-{generation}").into()),
            id_token: None,
            scope: None,
            issuer: "https://id.example".into(),
            subject: Some("alice".into()),
            sid: None,
            identity: None,
            obtained_at: now,
            expires_at: now + life,
            refresh_expires_at: None,
        }
    }
}

impl fmt::Debug for GrantTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrantTokens")
            .field("generation", &self.generation)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}
