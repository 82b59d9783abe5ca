//! [`TokenEndpoint`]: the settings of a provider.
//!
//! They are plain values. Nothing is checked, opened or shared before the refresher is built:
//! [`TokenEndpoint::validate`] then makes a [`Provider`], whose clones share everything.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    auth::{ClientAuth, ClientCertificate},
    classify::{AnswerMeaning, Classify, ProviderAnswer},
    discover::Discover,
    discovery::{
        Metadata,
        address::{SchemeRule, without_secrets},
    },
    exchange::MAX_ANSWER,
    request::Extras,
    resilience::ProviderLimits,
    transport::Transport,
};

pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

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
/// | `revocation_url`, `end_session_url`, `jwks_url`, `authorization_url` | the discovered ones, else none |
/// | `allow_http_to` | plain http to loopback only: `localhost`, 127.0.0.0/8, `::1` |
/// | `request_timeout` | 15 s |
/// | `connect_timeout` | 3 s, or `request_timeout` if that is shorter |
/// | `max_answer_bytes` | 1 MiB |
/// | `limits` | see [`ProviderLimits`] |
/// | `user_agent` | `tower-token-refresh/` and its version |
/// | `refresh_param`, `header`, `classify` | none |
/// | `client_certificate` | none |
/// | `transport` | reqwest, see [`Transport`] |
///
/// The setters check nothing. Building the refresher checks all settings, and its
/// [`ConfigError`](crate::ConfigError)
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
    authorization_url: Option<String>,
    rule: SchemeRule,
    request_timeout: Duration,
    connect_timeout: Option<Duration>,
    max_answer: usize,
    limits: ProviderLimits,
    extras: Extras,
    classify: Classify,
    client_certificate: Option<ClientCertificate>,
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
            authorization_url: None,
            rule: SchemeRule::default(),
            request_timeout: REQUEST_TIMEOUT,
            connect_timeout: None,
            max_answer: MAX_ANSWER,
            limits: ProviderLimits::default(),
            extras: Extras::default(),
            classify: Classify::default(),
            client_certificate: None,
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

    /// Sets where a browser logs in (RFC 6749, section 3.1), for
    /// [`login_routes`](crate::TokenRefresher::login_routes). It overrides a discovered URL.
    #[must_use]
    pub fn authorization_url(mut self, url: impl Into<String>) -> Self {
        self.authorization_url = Some(url.into());
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
    /// answer. Must be above 0 and at most 1 day.
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

    /// Limits how many bytes of an answer are read, after decompression. From 4 KiB to 64 MiB. An
    /// access token must fit into it, and that of a user in hundreds of groups may take 100 KiB.
    ///
    /// A longer answer to a refresh counts as lost: nobody has the new refresh token then. Each
    /// request that runs may take a few times this much memory.
    #[must_use]
    pub fn max_answer_bytes(mut self, bytes: usize) -> Self {
        self.max_answer = bytes;
        self
    }

    /// Sets attempts, concurrency, queue and circuit breaker.
    #[must_use]
    pub fn limits(mut self, limits: ProviderLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the `User-Agent` of every request to the provider (RFC 9110, section 10.1.5).
    #[must_use]
    pub fn user_agent(mut self, value: impl Into<String>) -> Self {
        self.extras.set_user_agent(value.into());
        self
    }

    /// Adds a parameter to the form of every refresh, such as `scope` (RFC 6749, section 6),
    /// `resource` (RFC 8707) or `audience`. It may be called several times, also with one name.
    ///
    /// Must not be a parameter that this crate sets itself: `grant_type`, `refresh_token`,
    /// `assertion`, `subject_token`, `subject_token_type`, `requested_token_use`, `client_id`,
    /// `client_secret`, `client_assertion`, `client_assertion_type`.
    #[must_use]
    pub fn refresh_param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.extras.add_param(name.into(), value.into());
        self
    }

    /// Adds a header to every request to the provider, such as the key of an API gateway. Must not
    /// be one that this crate sets itself: `Accept`, `Authorization`, `Content-Length`,
    /// `Content-Type`, `DPoP`, `Host`, `User-Agent`. No error and no log shows the value.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.extras.add_header(name.into(), value.into());
        self
    }

    /// Asks `classify` what an answer of the token endpoint means, to a refresh as to any other token
    /// request, before this crate's own rules. `None`
    /// leaves it to them. For a provider whose words this crate does not know.
    ///
    /// ```
    /// use tower_token_refresh::{AnswerMeaning, ClientAuth, TokenEndpoint};
    ///
    /// let auth = ClientAuth::basic("my-app", "s3cret");
    /// let endpoint = TokenEndpoint::new("https://id.example/token", auth).classify(|answer| {
    ///     let body = std::str::from_utf8(answer.body()).ok()?;
    ///     (answer.status() == 418 && body.contains("E1234")).then_some(AnswerMeaning::LoginEnded)
    /// });
    /// # let _ = endpoint;
    /// ```
    ///
    /// It sees every answer that arrived, also those with tokens. **The danger:** if it does not
    /// return `None` for such an answer, the new tokens are lost, and the old refresh token may be
    /// used up. If it panics, the refresh fails
    /// with [`Internal`](crate::RefreshErrorKind::Internal), as an answer that was lost.
    #[must_use]
    pub fn classify(
        mut self,
        classify: impl Fn(&ProviderAnswer<'_>) -> Option<AnswerMeaning> + Send + Sync + 'static,
    ) -> Self {
        self.classify = Classify::new(classify);
        self
    }

    /// Shows this certificate to the provider (RFC 8705): the certificate, its chain and its private
    /// key, in PEM, in any order. [`ClientAuth::mutual_tls`] needs it. With another method, it is
    /// for tokens that are bound to the certificate (section 3).
    ///
    /// The requests then go to the `mtls_endpoint_aliases` of the discovery document, where it has
    /// some (section 5). The certificate is read once. For one that changes while the application
    /// runs, bring a [`transport`](Self::transport) of your own, which excludes this setting.
    ///
    /// ```no_run
    /// use tower_token_refresh::{ClientAuth, TokenEndpoint};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let pem = [std::fs::read("/run/tls/tls.crt")?, std::fs::read("/run/tls/tls.key")?].concat();
    /// let auth = ClientAuth::mutual_tls("my-app");
    /// let endpoint = TokenEndpoint::new("https://id.example/token", auth).client_certificate(pem);
    /// # let _ = endpoint; Ok(()) }
    /// ```
    #[must_use]
    pub fn client_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.client_certificate = Some(ClientCertificate::new(pem.into()));
        self
    }

    /// Sends requests by `transport` instead of reqwest.
    #[must_use]
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = Some(transport);
        self
    }
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
            .field("authorization_url", &shown(&self.authorization_url))
            .field("request_timeout", &self.request_timeout)
            .finish_non_exhaustive()
    }
}

mod validate;

#[cfg(test)]
mod tests;
