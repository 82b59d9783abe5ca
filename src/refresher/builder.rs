//! How a refresher is put together.

use std::sync::Arc;

use tower_sessions::SessionStore;

use super::{Core, TokenRefresher};
use crate::{
    clock::Clock, endpoint::TokenEndpoint, error::ConfigError, flight::SingleFlight, ledger::Ledger,
    policy::RefreshPolicy, session::GuardedStore,
};

/// Settings of a [`TokenRefresher`].
///
/// | setting | default |
/// |---|---|
/// | [`policy`](Self::policy) | [`RefreshPolicy::default`] |
/// | [`session_key`](Self::session_key) | `oauth.tokens` |
/// | [`revoke_on_log_out`](Self::revoke_on_log_out) | true |
/// | [`ledger_bytes`](Self::ledger_bytes) | 16 MiB |
/// | [`clock`](Self::clock) | [`Clock::system`] |
#[must_use]
pub struct TokenRefresherBuilder {
    endpoint: TokenEndpoint,
    store: Box<dyn FnOnce(Arc<Ledger>, Arc<str>) -> GuardedStore + Send>,
    policy: RefreshPolicy,
    session_key: String,
    revoke_on_log_out: bool,
    ledger_bytes: usize,
    clock: Clock,
}

impl TokenRefresherBuilder {
    pub(super) fn new(endpoint: TokenEndpoint, store: impl SessionStore) -> Self {
        Self {
            endpoint,
            store: Box::new(|ledger, key| GuardedStore::new(store, ledger, key)),
            policy: RefreshPolicy::default(),
            session_key: "oauth.tokens".into(),
            revoke_on_log_out: true,
            ledger_bytes: 16 * 1024 * 1024,
            clock: Clock::system(),
        }
    }

    /// The times that govern a refresh.
    pub fn policy(mut self, policy: RefreshPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// The session key the tokens lie under. Not empty. For the tokens of
    /// a second provider in the same sessions, build the second refresher over the first one's
    /// [`session_store`](TokenRefresher::session_store) with another key, and use the second one's session layer only.
    pub fn session_key(mut self, key: impl Into<String>) -> Self {
        self.session_key = key.into();
        self
    }

    /// Whether [`TokenRefresher::log_out`] revokes the tokens at the provider (RFC 7009).
    pub fn revoke_on_log_out(mut self, revoke: bool) -> Self {
        self.revoke_on_log_out = revoke;
        self
    }

    /// How many bytes of decoded token sets to keep for the fast path. Beyond that, sets that the store holds are read from the
    /// session each time; sets that no record holds yet are kept whatever they weigh.
    pub fn ledger_bytes(mut self, bytes: usize) -> Self {
        self.ledger_bytes = bytes;
        self
    }

    /// Where the time comes from.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Checks the settings and makes the refresher. Contacts nobody.
    ///
    /// # Errors
    /// A URL, a time or a name that cannot work; the error names the value and the rule.
    pub fn build(self) -> Result<TokenRefresher, ConfigError> {
        let provider = self.endpoint.validate()?.with_clock(self.clock.clone());
        self.policy.validate(provider.request_timeout())?;
        if self.session_key.is_empty() {
            return Err(ConfigError::Range {
                what: "session_key",
                value: "\"\"".into(),
                rule: "it must not be empty",
            });
        }
        let ledger = Arc::new(Ledger::new(self.clock.clone(), self.ledger_bytes));
        let key: Arc<str> = self.session_key.into();
        let flights = SingleFlight::new(self.policy.net(provider.request_timeout()));
        Ok(TokenRefresher(Arc::new(Core {
            provider,
            store: (self.store)(ledger.clone(), key.clone()),
            ledger,
            flights,
            policy: self.policy,
            clock: self.clock,
            key,
            revoke_on_log_out: self.revoke_on_log_out,
        })))
    }
}

impl std::fmt::Debug for TokenRefresherBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenRefresherBuilder")
            .field("endpoint", &self.endpoint)
            .field("policy", &self.policy)
            .field("session_key", &self.session_key)
            .finish_non_exhaustive()
    }
}
