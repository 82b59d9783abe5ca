//! The provider: its token endpoint, and those of revocation, log out and discovery.
//!
//! A [`TokenEndpoint`] holds the settings. Requests go through a [`Transport`], one whole exchange at a time: at most
//! [`request_timeout`](TokenEndpoint::request_timeout) from connecting to the last byte, at most 64 KiB of answer (256 KiB of keys), no redirect
//! followed. What an answer means is decided in one table; see [`EndpointErrorKind`] for the outcomes.
//!
//! A refresh is sent again only where the provider has certainly not acted on it. One that fails time after time is left alone for a
//! while, and never asked more at once than [`ProviderLimits`] says.

mod address;
mod auth;
mod breaker;
mod bulkhead;
mod dead_tokens;
mod discover;
mod discovery;
mod error;
mod exchange;
mod gate;
mod jwks;
mod keys;
mod limits;
mod provider;
mod resend;
#[cfg(test)]
mod tests;
mod transport;
mod verify;
mod wire;

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::Uri;

pub use auth::ClientAuth;
pub use discover::Discover;
pub use discovery::DiscoveryError;
pub use error::{EndpointError, EndpointErrorKind};
pub(crate) use gate::is_left_alone as is_breaker_refusal;
pub(crate) use keys::{Keys, KeysError};
pub use limits::ProviderLimits;
pub(crate) use provider::{Aborted, BeforeAttempt, RefreshFailure, Provider, Revocation, TokenTypeHint};
pub use transport::{BoxError, NotSent, Transport, TransportBody};
pub(crate) use verify::{Expected, JwtClaims, LEEWAY, VerifyError};

use self::{
    address::{SchemeRule, without_secrets},
    discovery::{Discovery, Metadata},
    exchange::Exchange,
    gate::Gate,
    provider::{Addresses, Given},
};
use crate::{Clock, ConfigError};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Where and how this client gets its tokens refreshed.
///
/// ```
/// use tower_token_refresh::{ClientAuth, TokenEndpoint};
///
/// let endpoint = TokenEndpoint::new("https://id.example/token", ClientAuth::basic("my-app", "s3cret"))
///     .issuer("https://id.example")
///     .revocation_url("https://id.example/revoke");
/// ```
///
/// | setting | default |
/// |---|---|
/// | `issuer` | the discovered one, else the token URL without its query |
/// | `revocation_url`, `end_session_url`, `jwks_url` | the discovered ones, else none |
/// | `allow_http_to` | plain http to loopback only: `localhost`, 127.0.0.0/8, `::1` |
/// | `request_timeout` | 15 s |
/// | `connect_timeout` | 3 s, or `request_timeout` if that is shorter |
/// | `limits` | see [`ProviderLimits`]: 2 attempts, 64 at once, 1024 in the queue, a breaker after 5 failures |
/// | `transport` | reqwest, see [`Transport`] |
///
/// The setters check nothing; building the refresher does, and names what is wrong in a [`ConfigError`]. Cheap to clone; clones
/// share connections, what discovery found and how the provider does. `Debug` shows no secret.
#[derive(Clone)]
pub struct TokenEndpoint {
    location: Location,
    auth: ClientAuth,
    issuer: Option<String>,
    revocation_url: Option<String>,
    end_session_url: Option<String>,
    jwks_url: Option<String>,
    rule: SchemeRule,
    request_timeout: Duration,
    connect_timeout: Option<Duration>,
    limits: ProviderLimits,
    gate: Arc<OnceLock<Gate>>,
    transport: Option<Transport>,
    /// The default transport, made once for all clones.
    made: Arc<OnceLock<Transport>>,
}

#[derive(Clone)]
enum Location {
    At(String),
    Discovered(Arc<Discovery>),
}

impl TokenEndpoint {
    /// The endpoint at `token_url`.
    pub fn new(token_url: impl Into<String>, auth: ClientAuth) -> Self {
        Self::at(Location::At(token_url.into()), auth)
    }

    /// Finds the endpoints by the issuer's discovery document (OpenID Connect Discovery 1.0, 4): `.await` it, or take it
    /// [`lazy`](Discover::lazy).
    ///
    /// `issuer` must be, character for character, what the document gives as its `issuer`; so mind the trailing slash.
    pub fn discover(issuer: impl Into<String>, auth: ClientAuth) -> Discover {
        Discover::of(Self::at(Location::Discovered(Discovery::of(issuer.into())), auth))
    }

    fn at(location: Location, auth: ClientAuth) -> Self {
        Self {
            location,
            auth,
            issuer: None,
            revocation_url: None,
            end_session_url: None,
            jwks_url: None,
            rule: SchemeRule::default(),
            request_timeout: REQUEST_TIMEOUT,
            connect_timeout: None,
            limits: ProviderLimits::default(),
            gate: Arc::default(),
            transport: None,
            made: Arc::default(),
        }
    }

    /// Names the issuer, which together with the subject tells users apart.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Where tokens are revoked (RFC 7009). It wins over a discovered one.
    #[must_use]
    pub fn revocation_url(mut self, url: impl Into<String>) -> Self {
        self.revocation_url = Some(url.into());
        self
    }

    /// Where a browser is sent to log out at the provider (OpenID Connect RP-Initiated Logout 1.0). It wins over a discovered one.
    #[must_use]
    pub fn end_session_url(mut self, url: impl Into<String>) -> Self {
        self.end_session_url = Some(url.into());
        self
    }

    /// Where the provider's signing keys are (RFC 7517). It wins over a discovered one. Refreshed ID tokens are verified by them.
    #[must_use]
    pub fn jwks_url(mut self, url: impl Into<String>) -> Self {
        self.jwks_url = Some(url.into());
        self
    }

    /// Allows plain http to `host`, such as the name of a container. Whoever can listen in between reads all tokens and the secret.
    #[must_use]
    pub fn allow_http_to(mut self, host: impl AsRef<str>) -> Self {
        self.rule.allow(host.as_ref());
        self
    }

    /// The longest a request to the provider may take, from connecting to the last byte of the answer. Above 0.
    #[must_use]
    pub fn request_timeout(mut self, limit: Duration) -> Self {
        self.request_timeout = limit;
        self
    }

    /// The longest the default transport may take for one connection, TLS included. Above 0, at most the request's limit.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = Some(limit);
        self.made = Arc::default();
        self
    }

    /// How much the provider is asked at once, how often, and when it is left alone.
    #[must_use]
    pub fn limits(mut self, limits: ProviderLimits) -> Self {
        self.limits = limits;
        self.gate = Arc::default();
        self
    }

    /// Reaches the provider by `transport` instead of reqwest.
    #[must_use]
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Where to send a browser to log out at the provider; `None` if neither given nor discovered. After
    /// [`lazy`](Discover::lazy), the first call may have to fetch the document.
    ///
    /// # Errors
    /// The settings are wrong, or discovery failed. The next call tries again.
    pub async fn end_session_endpoint(&self) -> Result<Option<String>, DiscoveryError> {
        let provider = self.validate().map_err(DiscoveryError::Config)?;
        Ok(provider.metadata().await?.end_session.as_ref().map(Uri::to_string))
    }

    /// Where the provider's signing keys are; `None` if neither given nor discovered.
    ///
    /// # Errors
    /// The settings are wrong, or discovery failed. The next call tries again.
    pub async fn jwks_uri(&self) -> Result<Option<String>, DiscoveryError> {
        let provider = self.validate().map_err(DiscoveryError::Config)?;
        Ok(provider.metadata().await?.jwks.as_ref().map(Uri::to_string))
    }

    /// Checks all settings. Nothing is sent.
    pub(crate) fn validate(&self) -> Result<Provider, ConfigError> {
        self.auth.check()?;
        self.check_timeouts()?;
        self.limits.check()?;
        if self.issuer.as_deref() == Some("") {
            return Err(ConfigError::Range {
                what: "the issuer",
                value: "empty".into(),
                rule: "must not be empty",
            });
        }
        let optional = |what, url: &Option<String>| {
            url.as_deref().map(|url| self.rule.check(what, url)).transpose()
        };
        let revocation = optional("the revocation URL", &self.revocation_url)?;
        let end_session = optional("the end session URL", &self.end_session_url)?;
        let jwks = optional("the JWKS URL", &self.jwks_url)?;
        let (located, asked_first, addresses) = match &self.location {
            Location::At(url) => {
                let token = self.rule.check("the token URL", url)?;
                let given = Metadata { token: token.clone(), revocation, end_session, jwks };
                // The issuer's name is printed and stored; the URL's query is not for that.
                (without_secrets(url), token, Addresses::Given(Arc::new(given)))
            }
            Location::Discovered(discovery) => {
                let document = discovery::document_url(&discovery.issuer, &self.rule)?;
                let (found_by, rule) = (Arc::clone(discovery), self.rule.clone());
                let given = Arc::new(Given { revocation, end_session, jwks });
                let addresses = Addresses::Discovered { discovery: found_by, rule, given };
                (discovery.issuer.clone(), document, addresses)
            }
        };
        let discovered = match &self.location {
            Location::At(_) => None,
            Location::Discovered(discovery) => Some(discovery.issuer.as_str()),
        };
        Ok(Provider {
            issuer: self.issuer.as_deref().or(discovered).map(Into::into),
            issuer_id: self.issuer.clone().unwrap_or(located).into(),
            auth: self.auth.clone(),
            exchange: Exchange {
                transport: self.made_transport(&asked_first)?,
                limit: self.request_timeout,
            },
            addresses,
            limits: self.limits.clone(),
            clock: Clock::system(),
            gate: Arc::clone(&self.gate),
        })
    }

    fn check_timeouts(&self) -> Result<(), ConfigError> {
        let connect = self.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
        for (what, limit) in
            [("request_timeout", self.request_timeout), ("connect_timeout", connect)]
        {
            if limit.is_zero() {
                return Err(ConfigError::Range {
                    what,
                    value: format!("{limit:?}"),
                    rule: "must be above 0",
                });
            }
        }
        match self.connect_timeout {
            Some(connect) if connect > self.request_timeout => Err(ConfigError::Clash {
                left: "connect_timeout",
                left_value: format!("{connect:?}"),
                rule: "at most",
                right: "request_timeout",
                right_value: format!("{:?}", self.request_timeout),
            }),
            _ => Ok(()),
        }
    }

    fn made_transport(&self, asked_first: &Uri) -> Result<Transport, ConfigError> {
        if let Some(transport) = self.transport.as_ref().or_else(|| self.made.get()) {
            return Ok(transport.clone());
        }
        if !cfg!(feature = "rustls") && asked_first.scheme() == Some(&http::uri::Scheme::HTTPS) {
            let rule = "https needs the feature `rustls`, or a transport of your own".into();
            return Err(ConfigError::Transport { rule });
        }
        // Two may get here at once; the second transport is as good as the first and soon gone.
        let connect_timeout =
            self.connect_timeout.unwrap_or(CONNECT_TIMEOUT.min(self.request_timeout));
        let transport = Transport::reqwest(connect_timeout)?;
        Ok(self.made.get_or_init(|| transport).clone())
    }
}

/// URLs are shown without their queries, where some providers want a key.
impl fmt::Debug for TokenEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |url: &Option<String>| url.as_deref().map(without_secrets);
        let (at, discovered) = match &self.location {
            Location::At(url) => (url, false),
            Location::Discovered(discovery) => (&discovery.issuer, true),
        };
        f.debug_struct("TokenEndpoint")
            .field(if discovered { "discover" } else { "token_url" }, &without_secrets(at))
            .field("auth", &self.auth)
            .field("issuer", &self.issuer)
            .field("revocation_url", &shown(&self.revocation_url))
            .field("end_session_url", &shown(&self.end_session_url))
            .field("jwks_url", &shown(&self.jwks_url))
            .field("request_timeout", &self.request_timeout)
            .finish_non_exhaustive()
    }
}
