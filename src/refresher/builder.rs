//! The settings of a refresher.

mod build;

use std::{any::Any, fmt, sync::Arc};

use tower_sessions::SessionStore;

use super::refresh_lock::ForUser;
use crate::{
    clock::Clock,
    endpoint::{EndpointResolver, TokenEndpoint},
    lock::LockService,
    policy::RefreshPolicy,
    session::GuardedStore,
    token_store::{InSessions, SealKeys, TokenStore},
    tokens::ClaimsTrust,
};

/// Settings of a [`TokenRefresher`](crate::TokenRefresher).
///
/// | setting | default |
/// |---|---|
/// | [`policy`](Self::policy) | [`RefreshPolicy::default`] |
/// | [`token_store`](Self::token_store) | the session store, for one process |
/// | [`session_key`](Self::session_key) | `oauth.login` |
/// | [`seal_with`](Self::seal_with) | token records are stored as they are |
/// | [`back_channel_logout`](Self::back_channel_logout) | off |
/// | [`revoke_on_log_out`](Self::revoke_on_log_out) | true |
/// | [`cache_bytes`](Self::cache_bytes) | 16 MiB |
/// | [`claims_trust`](Self::claims_trust) | [`ClaimsTrust::Issued`] |
/// | [`endpoint_resolver`](Self::endpoint_resolver) | none: one provider |
/// | [`lock`](Self::lock) | none |
/// | [`lock_if`](Self::lock_if) | for everybody |
/// | [`audit_key`](Self::audit_key) | a random one |
/// | [`clock`](Self::clock) | [`Clock::system`] |
#[must_use]
pub struct TokenRefresherBuilder {
    endpoint: TokenEndpoint,
    sessions: Arc<dyn SessionStore>,
    /// The same without the guard of another refresher.
    bare: Arc<dyn SessionStore>,
    tokens: Arc<dyn TokenStore>,
    policy: RefreshPolicy,
    session_key: String,
    seal_with: Option<SealKeys>,
    back_channel: Option<Vec<u8>>,
    resolver: Option<Arc<dyn EndpointResolver>>,
    revoke_on_log_out: bool,
    cache_bytes: usize,
    claims_trust: ClaimsTrust,
    lock: Option<Arc<dyn LockService>>,
    lock_if: Option<ForUser>,
    audit_key: Option<Vec<u8>>,
    clock: Clock,
}

impl TokenRefresherBuilder {
    pub(super) fn new(endpoint: TokenEndpoint, store: impl SessionStore) -> Self {
        // A second refresher may guard what a first one guards. Token records pass all guards.
        let guarded = (&store as &dyn Any).downcast_ref::<GuardedStore>();
        let below = guarded.map(GuardedStore::unguarded);
        let sessions: Arc<dyn SessionStore> = Arc::new(store);
        let bare = below.unwrap_or_else(|| sessions.clone());
        Self {
            endpoint,
            tokens: Arc::new(InSessions::over(bare.clone())),
            bare,
            sessions,
            policy: RefreshPolicy::default(),
            session_key: "oauth.login".into(),
            seal_with: None,
            back_channel: None,
            resolver: None,
            revoke_on_log_out: true,
            cache_bytes: 16 * 1024 * 1024,
            claims_trust: ClaimsTrust::default(),
            lock: None,
            lock_if: None,
            audit_key: None,
            clock: Clock::system(),
        }
    }

    /// Sets the times that govern a refresh.
    pub fn policy(mut self, policy: RefreshPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Lets the refreshes of one login in several processes queue at `lock`.
    ///
    /// It is not needed: the token store excludes, and those of this crate for Redis and PostgreSQL
    /// also wake whoever waits. Give one if your token store cannot [tell](TokenStore::listen)
    /// other processes that a refresh has ended, and looking at the record again after 50 ms and
    /// more is too slow. While the lock cannot be had, refreshes go on without it.
    pub fn lock(mut self, lock: impl LockService) -> Self {
        self.lock = Some(Arc::new(lock));
        self
    }

    /// Uses the [`lock`](Self::lock) for those users only whose subject `accepts` accepts; a user
    /// without a subject has an empty one. Asked at each refresh, so it can be a switch that is
    /// flipped at run time. [`share_of_users`](crate::lock::share_of_users) is a ready one. It
    /// never switches off the mark in the token record, which keeps two processes from presenting
    /// one refresh token.
    pub fn lock_if(mut self, accepts: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.lock_if = Some(Arc::new(accepts));
        self
    }

    /// Keeps the token records in `store` instead of the session store. Several processes need a
    /// store that [compares and swaps](TokenStore::compares_and_swaps); the session store is for
    /// one process.
    pub fn token_store(mut self, store: impl TokenStore) -> Self {
        self.tokens = Arc::new(store);
        self
    }

    /// The session key that points to the login. Not empty. For the tokens of a second provider in
    /// the same sessions, build a second refresher over the first one's
    /// [`session_store`](crate::TokenRefresher::session_store) with another key, and use the second
    /// one's session layer only.
    pub fn session_key(mut self, key: impl Into<String>) -> Self {
        self.session_key = key.into();
        self
    }

    /// Seals the tokens in the token store (AES-256-GCM-SIV): whoever reads the store or a backup
    /// of it sees no token. A reader still sees how often the login was refreshed, its times, its
    /// issuer, and the id of the key. Sealing costs nothing on a request whose token this process
    /// has in its cache.
    ///
    /// Each record is bound to its login, generation and times, so the tokens of one cannot be put
    /// into another. Whoever can *write* to the session store can still point one session to
    /// another user's login.
    ///
    /// A record that is not sealed yet, or with an older one of `keys`, is read, and sealed by the
    /// next refresh. One that none of the keys opens is left as it is, since another process may
    /// have its key: its user is answered
    /// [`SessionExpired`](crate::RefreshErrorKind::SessionExpired), and the log has one line per
    /// key. So where several processes share a store, turn this on, and off, in all of them at the
    /// same time.
    pub fn seal_with(mut self, keys: SealKeys) -> Self {
        self.seal_with = Some(keys);
        self
    }

    /// Lets the provider end logins (OpenID Connect Back-Channel Logout 1.0), through
    /// [a route](crate::TokenRefresher::back_channel_logout). The endpoint needs an issuer and the
    /// provider's keys, as by discovery.
    ///
    /// `key`: at least 32 bytes of randomness, the same in all processes of a token store. The
    /// token store keeps what finds a login by its `sid` and by its user; without the key nobody
    /// can read or make that. If you change the key, a logout token misses a login until the next
    /// refresh of that login.
    ///
    /// A session store remembers 100 logins of one user, and 100 of one browser session at the
    /// provider (Redis 1,000 each, PostgreSQL and SQLite all); if there are more, a logout token
    /// may miss those not refreshed for longest. A login whose tokens name neither `sid` nor `sub`,
    /// as with an opaque access token and no ID token, cannot be found at all: that is logged once.
    pub fn back_channel_logout(mut self, key: impl AsRef<[u8]>) -> Self {
        self.back_channel = Some(key.as_ref().to_vec());
        self
    }

    /// Sets whether [`log_out`](crate::TokenRefresher::log_out) revokes the tokens at the provider (RFC
    /// 7009).
    pub fn revoke_on_log_out(mut self, revoke: bool) -> Self {
        self.revoke_on_log_out = revoke;
        self
    }

    /// How many bytes of access tokens to keep in memory for the fast path. Beyond that, and for
    /// what nobody has asked for lately, token records are read anew.
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Sets why the claims of access tokens are believed.
    pub fn claims_trust(mut self, trust: ClaimsTrust) -> Self {
        self.claims_trust = trust;
        self
    }

    /// Finds the providers of further tenants. The endpoint that the refresher is built with stays the
    /// provider of logins that name no issuer.
    pub fn endpoint_resolver(mut self, resolver: impl EndpointResolver) -> Self {
        self.resolver = Some(Arc::new(resolver));
        self
    }

    /// Sets the key by which audit lines and [snapshots](crate::operate::Snapshot) hash a user's
    /// issuer and subject: at least 32 bytes of randomness, the same in all processes. Without it each process
    /// has a random one, and a user has another hash in each.
    pub fn audit_key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.audit_key = Some(key.as_ref().to_vec());
        self
    }

    /// Sets where the time comes from.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }
}

impl fmt::Debug for TokenRefresherBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRefresherBuilder")
            .field("endpoint", &self.endpoint)
            .field("policy", &self.policy)
            .field("session_key", &self.session_key)
            .field("seal_with", &self.seal_with)
            .finish_non_exhaustive()
    }
}
