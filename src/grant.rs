//! A grant, its identity and the token set it holds at one generation.

use std::{
    any::{Any, TypeId},
    fmt,
    hash::{BuildHasher, Hash},
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use rustc_hash::FxBuildHasher;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::{
    bearer::BearerToken,
    claims::{self, ClaimsError},
    token::TokenSet,
};

/// Names one login for as long as it lives: random, made at log in, the same after every refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct GrantId(Uuid);

impl GrantId {
    /// Of its text, in bytes.
    pub(crate) const LENGTH: usize = uuid::fmt::Simple::LENGTH;

    pub(crate) fn random() -> Self {
        Self(Uuid::new_v4())
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_simple().fmt(f)
    }
}

/// Counts the token sets of one grant, from 1. Never compared across grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Generation(pub(crate) u64);

impl Generation {
    pub(crate) const FIRST: Self = Self(1);

    pub(crate) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    pub(crate) fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

/// How an access token stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Fresh,
    /// Good, and near enough to its expiry to be refreshed in the background.
    DueSoon,
    Stale,
}

/// A number from 0 to 1 that looks random and is the same for the same `key`: what spreads the moments at which things are done
/// for many grants.
pub(crate) fn spread(key: impl Hash) -> f64 {
    let hash = FxBuildHasher.hash_one(key);
    // The upper bits are the well-mixed ones; a double holds 53 of them.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let bits = (hash >> 11) as f64;
    bits / (1_u64 << 53) as f64
}

/// What one flight is for: two devices of one user hold two grants and never share one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct FlightKey {
    issuer: Arc<str>,
    subject: Option<Arc<str>>,
    grant: GrantId,
}

/// A token set with its place in a grant. Never changed once made.
pub(crate) struct HeldSet {
    pub(crate) grant: GrantId,
    pub(crate) generation: Generation,
    pub(crate) access_token: BearerToken,
    pub(crate) refresh_token: Option<SecretString>,
    pub(crate) id_token: Option<SecretString>,
    pub(crate) scope: Option<String>,
    pub(crate) issuer: Arc<str>,
    pub(crate) subject: Option<Arc<str>>,
    pub(crate) sid: Option<String>,
    pub(crate) obtained_at: SystemTime,
    pub(crate) expires_at: SystemTime,
    pub(crate) refresh_expires_at: Option<SystemTime>,
    pub(crate) claims: ClaimsCache,
}

/// The claims of an access token, as the first type that was asked for, and whether the token was verified.
#[derive(Default)]
pub(crate) struct ClaimsCache {
    decoded: OnceLock<(TypeId, Arc<dyn Any + Send + Sync>)>,
    verified: OnceLock<()>,
}

impl ClaimsCache {
    pub(crate) fn are_verified(&self) -> bool {
        self.verified.get().is_some()
    }

    pub(crate) fn mark_verified(&self) {
        // Two requests may verify a new token at once; either is right.
        let _ = self.verified.set(());
    }
}

impl HeldSet {
    /// The first set of a new grant.
    pub(crate) fn first(
        set: TokenSet,
        issuer: &str,
        now: SystemTime,
        fallback_lifetime: Duration,
    ) -> Self {
        let obtained_at = set.obtained_at.unwrap_or(now);
        let issuer = set.issuer.as_deref().unwrap_or(issuer).into();
        Self::stamp(
            set,
            GrantId::random(),
            Generation::FIRST,
            issuer,
            obtained_at,
            fallback_lifetime,
        )
    }

    /// The set after this one, from the answer to a refresh. What the answer leaves out stays as it was (RFC 6749 section 6, OpenID
    /// Connect Core section 12.2). Unless it says when it was asked for, its life counts from `sent_at`.
    pub(crate) fn next(
        &self,
        answer: TokenSet,
        sent_at: SystemTime,
        fallback_lifetime: Duration,
    ) -> Self {
        let sent_at = answer.obtained_at.unwrap_or(sent_at);
        let mut next = Self::stamp(
            answer,
            self.grant,
            self.generation.next(),
            self.issuer.clone(),
            sent_at,
            fallback_lifetime,
        );
        if next.refresh_token.is_none() {
            next.refresh_token.clone_from(&self.refresh_token);
            next.refresh_expires_at = self.refresh_expires_at;
        }
        next.id_token = next.id_token.or_else(|| self.id_token.clone());
        next.scope = next.scope.or_else(|| self.scope.clone());
        next.sid = next.sid.or_else(|| self.sid.clone());
        // The subject is part of the flight key, so a grant keeps the one it began with.
        next.subject.clone_from(&self.subject);
        next
    }

    fn stamp(
        set: TokenSet,
        grant: GrantId,
        generation: Generation,
        issuer: Arc<str>,
        obtained_at: SystemTime,
        fallback_lifetime: Duration,
    ) -> Self {
        let expires_at = match (set.expires_at, set.expires_in) {
            (Some(expires_at), _) => expires_at,
            (None, lifetime) => later(obtained_at, lifetime.unwrap_or(fallback_lifetime)),
        };
        Self {
            grant,
            generation,
            access_token: set.access_token,
            refresh_token: set.refresh_token,
            id_token: set.id_token,
            scope: set.scope,
            issuer,
            subject: set.subject.map(Into::into),
            sid: set.sid,
            obtained_at,
            expires_at,
            refresh_expires_at: set.refresh_expires_in.map(|lifetime| later(obtained_at, lifetime)),
            claims: ClaimsCache::default(),
        }
    }

    pub(crate) fn flight_key(&self) -> FlightKey {
        FlightKey { issuer: self.issuer.clone(), subject: self.subject.clone(), grant: self.grant }
    }

    /// How the access token stands at `now`. The leeway shrinks to a quarter of the token's life, so that a token that lives for
    /// seconds is not stale at birth; the early window shrinks to half of it.
    pub(crate) fn standing_at(
        &self,
        now: SystemTime,
        leeway: Duration,
        early_window: Duration,
    ) -> Standing {
        // Nearly all requests end here: the leeway and the window only shrink.
        if later(now, leeway.max(early_window)) < self.expires_at {
            return Standing::Fresh;
        }
        let life = self.expires_at.duration_since(self.obtained_at).unwrap_or_default();
        if later(now, leeway.min(life / 4)) >= self.expires_at {
            return Standing::Stale;
        }
        let window = early_window.min(life / 2);
        let left = self.expires_at.duration_since(now).unwrap_or_default();
        if left > window || left > window / 2 + self.share_of(window / 2) {
            return Standing::Fresh;
        }
        Standing::DueSoon
    }

    /// Whether the access token can still be used at `now`.
    pub(crate) fn is_fresh_at(&self, now: SystemTime, leeway: Duration) -> bool {
        self.standing_at(now, leeway, Duration::ZERO) != Standing::Stale
    }

    /// A part of `whole` that is the same for this set each time, and any for the next.
    fn share_of(&self, whole: Duration) -> Duration {
        whole.mul_f64(spread((self.grant, self.generation.0)))
    }

    /// The access token's claims as `T`. The first type asked for is decoded once per set; another one each time.
    pub(crate) fn claims_as<T: DeserializeOwned + Send + Sync + 'static>(
        &self,
    ) -> Result<Arc<T>, ClaimsError> {
        if let Some(claims) = self.cached_claims() {
            return Ok(claims);
        }
        let claims: Arc<T> = Arc::new(claims::payload(self.access_token.expose())?);
        Ok(match self.claims.decoded.set((TypeId::of::<T>(), claims.clone())) {
            Ok(()) => claims,
            Err(_) => self.cached_claims().unwrap_or(claims),
        })
    }

    fn cached_claims<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let (_, claims) =
            self.claims.decoded.get().filter(|(kind, _)| *kind == TypeId::of::<T>())?;
        claims.clone().downcast().ok()
    }

    /// About how many bytes this set takes, for the ledger's bound.
    pub(crate) fn weight(&self) -> usize {
        let secret = |token: &Option<SecretString>| {
            token.as_ref().map_or(0, |token| token.expose_secret().len())
        };
        let access = self.access_token.expose().len();
        // The access token lies here as itself, in its header, and as claims of about its own size.
        size_of::<Self>() + 3 * access + secret(&self.refresh_token) + secret(&self.id_token)
    }
}

impl fmt::Debug for HeldSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldSet")
            .field("grant", &self.grant)
            .field("generation", &self.generation)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// `SystemTime` has an end; a lifetime beyond it means "does not expire in practice".
pub(crate) fn later(time: SystemTime, by: Duration) -> SystemTime {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    time.checked_add(by.min(CENTURY)).unwrap_or(time)
}
