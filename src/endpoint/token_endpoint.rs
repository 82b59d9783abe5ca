//! [`TokenEndpoint`]: the settings of a provider.
//!
//! They are plain values. Nothing is checked, opened or shared before the refresher is built:
//! [`TokenEndpoint::validate`] then makes a [`Provider`], whose clones share everything.

use std::{fmt, sync::Arc, time::Duration};

use http::Uri;

use super::{
    auth::ClientAuth,
    discover::Discover,
    discovery::{
        Discovery, Metadata,
        address::{SchemeRule, without_secrets},
        document_url,
    },
    exchange::Exchange,
    issuers::{self, Issuers},
    provider::{Addresses, Overrides, Provider},
    resilience::{Admission, ProviderLimits},
    transport::Transport,
};
use crate::{Clock, ConfigError};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Where and how this application refreshes its tokens.
///
/// ```
/// use tower_token_refresh::{ClientAuth, TokenEndpoint};
///
/// let auth = ClientAuth::basic("my-app", "s3cret");
/// let endpoint = TokenEndpoint::new("https://id.example/token", auth)
///     .issuer("https://id.example")
///     .revocation_url("https://id.example/revoke");
/// ```
///
/// | setting | default |
/// |---|---|
/// | `issuer` | the discovered one, else the token URL without its query |
/// | `accept_issuer` | no other issuer |
/// | `revocation_url`, `end_session_url`, `jwks_url` | the discovered ones, else none |
/// | `allow_http_to` | plain http to loopback only: `localhost`, 127.0.0.0/8, `::1` |
/// | `request_timeout` | 15 s |
/// | `connect_timeout` | 3 s, or `request_timeout` if that is shorter |
/// | `limits` | see [`ProviderLimits`] |
/// | `transport` | reqwest, see [`Transport`] |
///
/// The setters check nothing. Building the refresher checks all settings, and its [`ConfigError`]
/// names what is wrong. Clones are independent: each refresher built from one opens connections of
/// its own and has a circuit breaker of its own. `Debug` shows no secret.
#[derive(Clone)]
pub struct TokenEndpoint {
    location: Location,
    auth: ClientAuth,
    issuer: Option<String>,
    pub(super) accepted_issuers: Vec<String>,
    revocation_url: Option<String>,
    end_session_url: Option<String>,
    jwks_url: Option<String>,
    rule: SchemeRule,
    request_timeout: Duration,
    connect_timeout: Option<Duration>,
    limits: ProviderLimits,
    transport: Option<Transport>,
}

#[derive(Clone)]
enum Location {
    TokenUrl(String),
    Discovered {
        issuer: String,
        /// What an awaited discovery has found.
        document: Option<Arc<Metadata>>,
    },
}

impl TokenEndpoint {
    /// Uses the token endpoint at `token_url`.
    pub fn new(token_url: impl Into<String>, auth: ClientAuth) -> Self {
        Self::at(Location::TokenUrl(token_url.into()), auth)
    }

    /// Finds the endpoints by the issuer's discovery document (OpenID Connect Discovery 1.0,
    /// section 4). `.await` the result, or call [`lazy`](Discover::lazy) on it.
    ///
    /// `issuer` must equal the `issuer` in the document, character for character. Mind the trailing
    /// slash. [`accept_issuer`](Self::accept_issuer) accepts another one.
    pub fn discover(issuer: impl Into<String>, auth: ClientAuth) -> Discover {
        let location = Location::Discovered { issuer: issuer.into(), document: None };
        Discover::new(Self::at(location, auth))
    }

    fn at(location: Location, auth: ClientAuth) -> Self {
        Self {
            location,
            auth,
            issuer: None,
            accepted_issuers: Vec::new(),
            revocation_url: None,
            end_session_url: None,
            jwks_url: None,
            rule: SchemeRule::default(),
            request_timeout: REQUEST_TIMEOUT,
            connect_timeout: None,
            limits: ProviderLimits::default(),
            transport: None,
        }
    }

    pub(super) fn with_document(mut self, found: Option<Arc<Metadata>>) -> Self {
        if let Location::Discovered { document, .. } = &mut self.location {
            *document = found;
        }
        self
    }

    /// Sets the issuer. Together with the subject, it tells users apart.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Sets where to revoke tokens (RFC 7009). It overrides a discovered URL.
    #[must_use]
    pub fn revocation_url(mut self, url: impl Into<String>) -> Self {
        self.revocation_url = Some(url.into());
        self
    }

    /// Sets where to send a browser to log out at the provider (OpenID Connect RP-Initiated Logout
    /// 1.0). It overrides a discovered URL.
    #[must_use]
    pub fn end_session_url(mut self, url: impl Into<String>) -> Self {
        self.end_session_url = Some(url.into());
        self
    }

    /// Sets where the provider publishes its signing keys (RFC 7517), which verify refreshed ID
    /// tokens. It overrides a discovered URL.
    #[must_use]
    pub fn jwks_url(mut self, url: impl Into<String>) -> Self {
        self.jwks_url = Some(url.into());
        self
    }

    /// Allows plain http to `host`, such as the name of a container. Everybody on the network path
    /// can then read all tokens and the client secret.
    #[must_use]
    pub fn allow_http_to(mut self, host: impl AsRef<str>) -> Self {
        self.rule.allow(host.as_ref());
        self
    }

    /// Limits the time of each request to the provider, from connecting to the last byte of the
    /// answer. Must be above 0.
    #[must_use]
    pub fn request_timeout(mut self, limit: Duration) -> Self {
        self.request_timeout = limit;
        self
    }

    /// Limits the time in which the default transport must connect, TLS included. Must be above 0
    /// and at most the request timeout. A [`transport`](Self::transport) of your own ignores it.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = Some(limit);
        self
    }

    /// Sets attempts, concurrency, queue and circuit breaker.
    #[must_use]
    pub fn limits(mut self, limits: ProviderLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sends requests by `transport` instead of reqwest.
    #[must_use]
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Checks all settings and makes a provider with a transport, a breaker and a queue of its own.
    /// Sends nothing.
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
        let overrides = Overrides {
            revocation: optional("the revocation URL", &self.revocation_url)?,
            end_session: optional("the end session URL", &self.end_session_url)?,
            jwks: optional("the JWKS URL", &self.jwks_url)?,
        };
        let located = self.locate(overrides)?;
        let issuer = self.issuer.clone().or(located.discovered_issuer);
        issuers::check(&self.accepted_issuers, issuer.as_deref())?;
        let clock = Clock::system();
        Ok(Provider {
            issuers: issuer.as_deref().map(|own| Issuers::new(own, &self.accepted_issuers)),
            issuer_id: issuer.unwrap_or(located.fallback_id).into(),
            auth: self.auth.clone(),
            exchange: Exchange {
                transport: self.make_transport(&located.first_request)?,
                limit: self.request_timeout,
            },
            addresses: located.addresses,
            admission: Arc::new(Admission::new(&self.limits, clock.clone())),
            limits: self.limits.clone(),
            clock,
        })
    }

    fn locate(&self, overrides: Overrides) -> Result<Located, ConfigError> {
        match &self.location {
            Location::TokenUrl(url) => {
                let token = self.rule.check("the token URL", url)?;
                let Overrides { revocation, end_session, jwks } = overrides;
                let metadata = Metadata { token: token.clone(), revocation, end_session, jwks };
                Ok(Located {
                    // The id is printed and stored, so it must not hold the query of the URL.
                    fallback_id: without_secrets(url),
                    discovered_issuer: None,
                    first_request: token,
                    addresses: Addresses::Configured(Arc::new(metadata)),
                })
            }
            Location::Discovered { issuer, document } => {
                let url = document_url(issuer, &self.rule)?;
                let (rule, known) = (self.rule.clone(), document.clone());
                let issuers = Issuers::new(issuer, &self.accepted_issuers);
                let discovery = Discovery::new(issuers, url.clone(), rule, known);
                Ok(Located {
                    fallback_id: issuer.clone(),
                    discovered_issuer: Some(issuer.clone()),
                    first_request: url,
                    addresses: Addresses::Discovered { discovery, overrides: Arc::new(overrides) },
                })
            }
        }
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

    fn make_transport(&self, first_request: &Uri) -> Result<Transport, ConfigError> {
        if let Some(transport) = &self.transport {
            return Ok(transport.clone());
        }
        if !cfg!(feature = "rustls") && first_request.scheme() == Some(&http::uri::Scheme::HTTPS) {
            let rule = "https needs the feature `rustls`, or a transport of your own".into();
            return Err(ConfigError::Transport { rule });
        }
        let default = CONNECT_TIMEOUT.min(self.request_timeout);
        Transport::reqwest(self.connect_timeout.unwrap_or(default))
    }
}

/// What the location of the endpoint decides.
struct Located {
    /// Identifies the provider where no issuer is known.
    fallback_id: String,
    discovered_issuer: Option<String>,
    /// Where the first request goes.
    first_request: Uri,
    addresses: Addresses,
}

/// Shows URLs without their queries: some providers expect a key there.
impl fmt::Debug for TokenEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |url: &Option<String>| url.as_deref().map(without_secrets);
        let (name, at) = match &self.location {
            Location::TokenUrl(url) => ("token_url", url),
            Location::Discovered { issuer, .. } => ("discover", issuer),
        };
        f.debug_struct("TokenEndpoint")
            .field(name, &without_secrets(at))
            .field("auth", &self.auth)
            .field("issuer", &self.issuer)
            .field("accepted_issuers", &self.accepted_issuers)
            .field("revocation_url", &shown(&self.revocation_url))
            .field("end_session_url", &shown(&self.end_session_url))
            .field("jwks_url", &shown(&self.jwks_url))
            .field("request_timeout", &self.request_timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
