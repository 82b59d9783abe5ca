//! How a refresher is put together.

use std::sync::Arc;

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_sessions::SessionStore;

use super::{Core, TokenRefresher};
use crate::{
    backchannel,
    claims::{ClaimsTrust, ClaimsVerifier},
    clock::Clock,
    endpoint::{Keys, Provider, TokenEndpoint},
    error::ConfigError,
    flight::SingleFlight,
    ledger::Ledger,
    policy::RefreshPolicy,
    session::{Burials, Codec, GuardedStore, SealKeys},
};

/// The store is given first, and what its guard needs is known last.
type MakeStore = dyn FnOnce(Arc<Ledger>, Arc<str>, Codec, Burials) -> GuardedStore + Send;

/// Settings of a [`TokenRefresher`].
///
/// | setting | default |
/// |---|---|
/// | [`policy`](Self::policy) | [`RefreshPolicy::default`] |
/// | [`session_key`](Self::session_key) | `oauth.tokens` |
/// | [`seal_with`](Self::seal_with) | entries are stored as they are |
/// | [`back_channel_logout`](Self::back_channel_logout) | off |
/// | [`revoke_on_log_out`](Self::revoke_on_log_out) | true |
/// | [`ledger_bytes`](Self::ledger_bytes) | 16 MiB |
/// | [`claims_trust`](Self::claims_trust) | [`ClaimsTrust::Issued`] |
/// | [`claims_audience`](Self::claims_audience) | any |
/// | [`clock`](Self::clock) | [`Clock::system`] |
#[must_use]
pub struct TokenRefresherBuilder {
    endpoint: TokenEndpoint,
    store: Box<MakeStore>,
    policy: RefreshPolicy,
    session_key: String,
    seal_with: Option<SealKeys>,
    back_channel: Option<backchannel::Settings>,
    revoke_on_log_out: bool,
    ledger_bytes: usize,
    claims_trust: ClaimsTrust,
    claims_audience: Option<String>,
    clock: Clock,
}

impl TokenRefresherBuilder {
    pub(super) fn new(endpoint: TokenEndpoint, store: impl SessionStore) -> Self {
        Self {
            endpoint,
            store: Box::new(|ledger, key, codec, burials| {
                GuardedStore::new(store, ledger, key, codec, burials)
            }),
            policy: RefreshPolicy::default(),
            session_key: "oauth.tokens".into(),
            seal_with: None,
            back_channel: None,
            revoke_on_log_out: true,
            ledger_bytes: 16 * 1024 * 1024,
            claims_trust: ClaimsTrust::default(),
            claims_audience: None,
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

    /// Seals the tokens in the session store, and thereby in every copy of a record: whoever reads the store, a backup of it or a
    /// printed `Session` sees no token. In the clear stay a random id of the login, how often it was refreshed, when its access
    /// token expires, and the id of the key. Costs nothing on a request whose tokens this process has read before.
    ///
    /// Each entry is bound to its login and generation, so the tokens of one cannot be put into the entry of another. A whole
    /// entry can: who can *write* to the session store can still be anybody.
    ///
    /// An entry that is not sealed yet, or with an older one of `keys`, is read, and sealed by the next write to its session. One
    /// that none of the keys opens is left as it is, since another process may have its key: its user is answered
    /// [`SessionExpired`](crate::RefreshErrorKind::SessionExpired), and the log has one line per key. So where several processes
    /// share a store, turn this on, and off, in all of them at the same time.
    pub fn seal_with(mut self, keys: SealKeys) -> Self {
        self.seal_with = Some(keys);
        self
    }

    /// Lets the provider end logins (OpenID Connect Back-Channel Logout 1.0), through the route of
    /// [`TokenRefresher::back_channel_logout`]. The endpoint needs an issuer and the provider's keys, as by discovery.
    ///
    /// `index` keeps what finds a user's sessions: the application's session store itself or another one, but no [`GuardedStore`]. Its
    /// records are no sessions: a guarded store shows them to nobody, and without `key`, at least 32 bytes of randomness, nobody can
    /// tell their ids. All processes of a store need the same key. With another one, a login is found again after its next refresh.
    ///
    /// At most 100 logins of one user, and of one browser session at the provider, are kept; beyond that the oldest are not found. Two
    /// processes that note logins of one user at the same moment may lose one of the notes, until that login's next refresh.
    ///
    /// A log in fails if the index does not take it: the provider could not end it. Nor can it end a login whose tokens name neither `sid`
    /// nor `sub`, as with an opaque access token and no ID token: that is logged once.
    pub fn back_channel_logout(mut self, index: impl SessionStore, key: impl AsRef<[u8]>) -> Self {
        self.back_channel = Some(backchannel::Settings::new(index, key.as_ref()));
        self
    }

    /// Whether [`TokenRefresher::log_out`] revokes the tokens at the provider (RFC 7009).
    pub fn revoke_on_log_out(mut self, revoke: bool) -> Self {
        self.revoke_on_log_out = revoke;
        self
    }

    /// How many bytes of decoded token sets to keep for the fast path. Beyond that, sets that the store holds are read from the
    /// session each time. Sets that the store does not hold yet are kept whatever they weigh; see [`MemoryUse`](super::MemoryUse).
    pub fn ledger_bytes(mut self, bytes: usize) -> Self {
        self.ledger_bytes = bytes;
        self
    }

    /// What the claims of access tokens are believed for.
    pub fn claims_trust(mut self, trust: ClaimsTrust) -> Self {
        self.claims_trust = trust;
        self
    }

    /// What `aud` of access tokens must contain, where claims are [verified](ClaimsTrust::Verified): the API they are for. It is seldom
    /// the client's id.
    pub fn claims_audience(mut self, audience: impl Into<String>) -> Self {
        self.claims_audience = Some(audience.into());
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
        self.policy.validate(provider.longest_refresh())?;
        if self.session_key.is_empty() {
            return Err(ConfigError::Range {
                what: "session_key",
                value: "\"\"".into(),
                rule: "it must not be empty",
            });
        }
        let ledger = Arc::new(Ledger::new(self.clock.clone(), self.ledger_bytes));
        let key: Arc<str> = self.session_key.into();
        let (tasks, closing) = (TaskTracker::new(), CancellationToken::new());
        let burials = Burials::new(tasks.clone(), closing.clone());
        let flights = SingleFlight::new(self.policy.net(provider.longest_refresh()), tasks.clone());
        let keys = Keys::new(provider.clone(), self.clock.clone());
        let claims_verifier =
            claims_verifier(self.claims_trust, self.claims_audience, &provider, &keys)?;
        let back_channel = self
            .back_channel
            .map(|settings| settings.validate(&provider, &self.clock))
            .transpose()?;
        let core = Arc::new(Core {
            keys,
            claims_verifier,
            provider,
            store: (self.store)(ledger.clone(), key.clone(), Codec::new(self.seal_with), burials),
            ledger,
            flights,
            policy: self.policy,
            clock: self.clock,
            key,
            back_channel,
            revoke_on_log_out: self.revoke_on_log_out,
            tasks,
            closing,
        });
        core.follow_moves();
        core.write_what_moves_leave();
        Ok(TokenRefresher(core))
    }
}

fn claims_verifier(
    trust: ClaimsTrust,
    audience: Option<String>,
    provider: &Provider,
    keys: &Keys,
) -> Result<Option<ClaimsVerifier>, ConfigError> {
    if trust == ClaimsTrust::Issued {
        return match audience {
            None => Ok(None),
            Some(audience) => Err(ConfigError::Range {
                what: "claims_audience",
                value: format!("{audience:?}"),
                rule: "it is looked at with ClaimsTrust::Verified only",
            }),
        };
    }
    match provider.issuer().filter(|_| !provider.has_no_keys()) {
        Some(issuer) => Ok(Some(ClaimsVerifier::new(keys.clone(), issuer.to_owned(), audience))),
        None => Err(ConfigError::Range {
            what: "claims_trust",
            value: format!("{trust:?}"),
            rule: "the endpoint needs an issuer and a jwks_url, or discovery",
        }),
    }
}

impl std::fmt::Debug for TokenRefresherBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenRefresherBuilder")
            .field("endpoint", &self.endpoint)
            .field("policy", &self.policy)
            .field("session_key", &self.session_key)
            .field("seal_with", &self.seal_with)
            .finish_non_exhaustive()
    }
}
