//! What a process keeps of a grant to serve its requests: the access token and who the user is,
//! never a refresh token or an ID token.

use std::{
    any::{Any, TypeId},
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;

use super::{
    Generation, GrantTokens, HeaderToken, Lifetime, RecordKey, Scheme, Standing, TokenSet,
    claims::{self, ClaimsError},
    jitter,
    lifetime::LONGEST_LIFE,
};
use crate::{
    clock::{AtomicMoment, Moment},
    dpop::DpopKey,
};

/// The access token of one generation of a grant. Only what this process knows of it changes.
pub(crate) struct CachedToken {
    pub(crate) key: RecordKey,
    pub(crate) generation: Generation,
    pub(crate) issuer: Arc<str>,
    pub(crate) access_token: HeaderToken,
    /// The key that the access token is bound to, if it is.
    pub(crate) dpop_key: Option<DpopKey>,
    pub(crate) scope: Option<Box<str>>,
    /// The user, as told at log in.
    pub(crate) subject: Option<Arc<str>>,
    pub(crate) obtained_at: SystemTime,
    pub(crate) expires_at: SystemTime,
    pub(crate) has_refresh_token: bool,
    claims: ClaimsCache,
    identity: Option<IdentityClaims>,
    /// When a read of the token record began that showed this token.
    confirmed_at: AtomicMoment,
    /// Asked for since the cache was last swept.
    in_use: AtomicBool,
}

/// An access token, and which answer has brought it.
#[derive(Clone, Copy)]
pub(crate) struct Issued {
    at: SystemTime,
    hash: u64,
}

impl Issued {
    /// Whether both are one token of one answer. The provider may give a token again, out of a
    /// cache: that is another answer, and there is nothing newer to be had.
    pub(crate) fn is(self, other: Self) -> bool {
        let apart = self.at.duration_since(other.at).unwrap_or_else(|ahead| ahead.duration());
        // Two reads may differ in what they take for the store's clock.
        apart < Duration::from_secs(5) && self.hash == other.hash
    }
}

/// The claims of an access token, and whether the token was verified.
#[derive(Default)]
struct ClaimsCache {
    decoded: Decoded,
    verified: OnceLock<()>,
}

/// Who the user is, still encoded: most logins are never asked.
#[cfg_attr(not(feature = "axum"), allow(dead_code, reason = "the extractor uses it"))]
struct IdentityClaims {
    text: IdentityText,
    decoded: Decoded,
}

#[cfg_attr(not(feature = "axum"), allow(dead_code, reason = "the extractor uses it"))]
enum IdentityText {
    /// As the application said at log in.
    Json(Arc<str>),
    /// The middle part of the ID token.
    Payload(Box<str>),
}

/// Claims as the first type that was asked for. Another type is decoded each time.
#[derive(Default)]
struct Decoded(OnceLock<(TypeId, Arc<dyn Any + Send + Sync>)>);

impl Decoded {
    fn get_or_decode<T: Send + Sync + 'static>(
        &self,
        decode: impl FnOnce() -> Result<T, ClaimsError>,
    ) -> Result<Arc<T>, ClaimsError> {
        if let Some(claims) = self.get() {
            return Ok(claims);
        }
        let claims = Arc::new(decode()?);
        Ok(match self.0.set((TypeId::of::<T>(), claims.clone())) {
            Ok(()) => claims,
            Err(_) => self.get().unwrap_or(claims),
        })
    }

    fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let (_, claims) = self.0.get().filter(|(kind, _)| *kind == TypeId::of::<T>())?;
        claims.clone().downcast().ok()
    }
}

impl CachedToken {
    pub(crate) fn new(key: RecordKey, tokens: &GrantTokens, confirmed_at: Moment) -> Self {
        let is_bound = tokens.access_token.scheme() == Scheme::Dpop;
        Self {
            key,
            generation: tokens.generation,
            issuer: tokens.issuer.clone(),
            access_token: tokens.access_token.clone(),
            dpop_key: tokens.dpop_key.clone().filter(|_| is_bound),
            scope: tokens.scope.as_deref().map(Into::into),
            subject: tokens.subject.clone(),
            obtained_at: tokens.obtained_at,
            expires_at: tokens.expires_at,
            has_refresh_token: tokens.refresh_token.is_some(),
            claims: ClaimsCache::default(),
            identity: IdentityClaims::of(tokens),
            confirmed_at: AtomicMoment::new(confirmed_at),
            in_use: AtomicBool::new(true),
        }
    }

    /// A token of its own, in no grant. Its life counts from `asked_at`, unless it says otherwise.
    pub(crate) fn obtained(
        key: RecordKey,
        generation: Generation,
        set: TokenSet,
        asked_at: Moment,
        fallback_lifetime: Duration,
    ) -> Self {
        let tokens = GrantTokens::alone(set, generation, asked_at.wall, fallback_lifetime);
        Self::new(key, &tokens, asked_at)
    }

    /// What stands where there is no token: one that expired before any time that a clock shows.
    pub(crate) fn none() -> Self {
        let most = Duration::from_secs(i64::MAX.unsigned_abs());
        let long_ago = SystemTime::UNIX_EPOCH.checked_sub(most);
        // Where time does not reach back that far.
        let long_ago = long_ago.unwrap_or(SystemTime::UNIX_EPOCH - LONGEST_LIFE);
        Self {
            key: RecordKey::from_bytes([0; 16]),
            generation: Generation::NONE,
            issuer: "".into(),
            access_token: HeaderToken::none(),
            dpop_key: None,
            scope: None,
            subject: None,
            obtained_at: long_ago,
            expires_at: long_ago,
            has_refresh_token: false,
            claims: ClaimsCache::default(),
            identity: None,
            confirmed_at: AtomicMoment::new(Moment { wall: long_ago, monotonic: Duration::ZERO }),
            in_use: AtomicBool::new(false),
        }
    }

    pub(crate) fn confirmed_at(&self) -> Moment {
        self.confirmed_at.get()
    }

    /// A read that began at `began` has shown this token.
    pub(crate) fn confirm(&self, began: Moment) {
        self.confirmed_at.set(began);
    }

    /// Notes that the token was asked for. The fast path notes no more than this.
    pub(crate) fn note_use(&self) {
        self.in_use.store(true, Ordering::Relaxed);
    }

    /// Whether the token was asked for since the last call.
    pub(crate) fn take_use(&self) -> bool {
        self.in_use.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn issued(&self) -> Issued {
        let mut hasher = DefaultHasher::new();
        self.access_token.expose().hash(&mut hasher);
        Issued { at: self.obtained_at, hash: hasher.finish() }
    }

    pub(crate) fn lifetime(&self) -> Lifetime {
        Lifetime { obtained_at: self.obtained_at, expires_at: self.expires_at }
    }

    /// How the access token stands at `now`. The moment from which on it is due is the same for this
    /// token each time, and any for the next.
    pub(crate) fn standing_at(
        &self,
        now: SystemTime,
        leeway: Duration,
        refresh_ahead: Duration,
    ) -> Standing {
        let share = || jitter((self.key, self.generation));
        self.lifetime().standing_at(now, leeway, refresh_ahead, share)
    }

    pub(crate) fn is_verified(&self) -> bool {
        self.claims.verified.get().is_some()
    }

    pub(crate) fn mark_verified(&self) {
        // Two requests may verify a new token at once; either is right.
        let _ = self.claims.verified.set(());
    }

    /// The access token's claims as `T`. The first type asked for is decoded once per token;
    /// another one each time.
    pub(crate) fn claims_as<T: DeserializeOwned + Send + Sync + 'static>(
        &self,
    ) -> Result<Arc<T>, ClaimsError> {
        self.claims.decoded.get_or_decode(|| claims::payload(self.access_token.expose()))
    }

    /// Who the user is, as `T`: as the application said at log in, or else from the ID token. None
    /// if neither says it.
    #[cfg(feature = "axum")]
    pub(crate) fn identity_as<T: DeserializeOwned + Send + Sync + 'static>(
        &self,
    ) -> Option<Result<Arc<T>, ClaimsError>> {
        let identity = self.identity.as_ref()?;
        let decoded = identity.decoded.get_or_decode(|| match &identity.text {
            IdentityText::Json(json) => claims::from_json(json.as_bytes()),
            IdentityText::Payload(payload) => claims::from_payload(payload),
        });
        match decoded {
            // An ID token that nobody can read says nothing.
            Err(ClaimsError::NotBase64Url | ClaimsError::NotJson { .. }) => None,
            decoded => Some(decoded),
        }
    }

    /// About how many bytes this takes, for the bound of the cache.
    pub(crate) fn weight(&self) -> usize {
        // The token lies here once, and may lie here as claims of about its own size.
        let key = if self.dpop_key.is_some() { DpopKey::WEIGHT } else { 0 };
        let identity = self.identity.as_ref().map_or(0, |identity| 2 * identity.text.len());
        size_of::<Self>() + 2 * self.access_token.header().len() + key + identity
    }
}

impl IdentityClaims {
    fn of(tokens: &GrantTokens) -> Option<Self> {
        let told = tokens.identity.clone().map(IdentityText::Json);
        let text = told.or_else(|| {
            let id_token = tokens.id_token.as_ref()?.expose_secret();
            Some(IdentityText::Payload(claims::payload_part(id_token).ok()?.into()))
        });
        text.map(|text| Self { text, decoded: Decoded::default() })
    }
}

impl IdentityText {
    fn len(&self) -> usize {
        match self {
            Self::Json(text) => text.len(),
            Self::Payload(text) => text.len(),
        }
    }
}

impl fmt::Debug for CachedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedToken")
            .field("key", &self.key)
            .field("generation", &self.generation)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}
