//! A layer that puts a token on each request to an API, and another one if that is refused.
//!
//! | what the API answers | what happens |
//! |---|---|
//! | anything but 401 | it is passed on |
//! | 401 to a token, and the body can be sent again | one refresh for all who were refused, and the request goes out once more |
//! | 401 again | it is passed on |
//! | 401 to a token younger than 10 s | it is passed on |
//! | 401 after two new tokens in a row were refused by that host | it is passed on, but for one in 60 s, until a new token helps |
//! | 401 that no newer token can heal: `insufficient_scope`, step-up | it is passed on |
//! | 401 `invalid_dpop_proof` to a token that is bound to a key | it is passed on |
//! | 401 `use_dpop_nonce` with a nonce, to such a token | the request goes out once more with the same token |
//! | 401, and no newer token can be had | it is passed on |
//! | gRPC's `UNAUTHENTICATED` (16) in the headers of a 200 | as a 401 |

mod challenge;
mod hosts;
#[cfg(feature = "reqwest-middleware")]
mod middleware;
mod refusals;
mod resend;
mod rules;
mod service;

use std::{any::Any, fmt, sync::Arc};

use tower::Layer;

#[cfg(feature = "reqwest-middleware")]
pub use self::middleware::BearerMiddleware;
pub use self::{challenge::StepUp, service::BearerService};
use self::{hosts::Hosts, refusals::Refusals, resend::CopyBody};
use super::TokenSource;
use crate::{clock::Clock, dpop::ServerNonce, error::ConfigError, metrics};

/// The hosts of an API, and what this process knows of them. Make it once, for example in the state
/// of your application, and a [`BearerLayer`] of it wherever you call the API. Cheap to clone; clones
/// share what they know.
///
/// A misconfigured API refuses every token, and must not make the provider issue new ones for every
/// user endlessly. So after two new tokens in a row that a host refused as well, whoever they
/// belong to, its 401s are passed on, but for one in 60 s, until a new token helps or 10 min have
/// gone by without another refusal. Before that, each call under way may refresh its own user's
/// token.
#[derive(Clone)]
pub struct ApiHosts(Arc<Api>);

/// In one piece, as each layer takes a handle to it, and some are made for one request.
#[derive(Clone)]
struct Api {
    hosts: Hosts,
    refusals: Arc<Refusals>,
    /// What each host wants to see in the next proof of a DPoP key.
    nonces: Arc<[ServerNonce]>,
    clock: Clock,
    /// Holds a [`CopyBody`].
    copy: Option<Arc<dyn Any + Send + Sync>>,
}

/// Puts an access token on each request to an API (RFC 6750, section 2.1), for any tower client of
/// HTTP.
///
/// The token goes to the named [hosts](ApiHosts) and to no other, and only by https, to this
/// machine, or to whom plain http was [allowed](ApiHosts::allow_http_to). A request to another host
/// goes out without it, so put a layer that follows redirects around this one. A request that has
/// an `Authorization` header keeps it.
///
/// If the API answers 401, all requests that were refused with the same token wait for one refresh,
/// and each goes out once more with the new token. That needs a body that can be sent again: `()`,
/// `Bytes`, `String`, `Vec<u8>`, `Full<Bytes>`, `Empty<Bytes>` and `reqwest::Body` of bytes can; for
/// others there is [`resend_with`](ApiHosts::resend_with). Otherwise the 401 is passed on: what a
/// stream has sent is gone.
///
/// A token that is bound to a [`DpopKey`](crate::DpopKey) goes out with a proof for each request (RFC
/// 9449, section 7). If the API wants its own nonce in it, the request goes out once more with the
/// same token.
///
/// A token younger than 10 s is not refreshed for a 401. A 401 with `insufficient_scope` (RFC 6750,
/// section 3.1) is passed on; so is a step-up challenge, whose [`StepUp`] is in the extensions of
/// the response. gRPC says 401 in its own way: `grpc-status: 16` in the headers of a 200 counts as
/// one.
///
/// ```
/// use tower::{Service, ServiceBuilder, ServiceExt};
/// # use bytes::Bytes;
/// # use http::{Request, Response};
/// # use http_body_util::Full;
/// use tower_token_refresh::{ApiHosts, BearerLayer, LoginTokens};
///
/// /// `api` is made once: `ApiHosts::new(["api.example.com"])`.
/// async fn orders(api: ApiHosts, tokens: LoginTokens) -> Result<u16, tower::BoxError> {
///     # let client = tower::service_fn(async |_: Request<Full<Bytes>>| {
///     #     Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::default()))
///     # });
///     let mut client = ServiceBuilder::new().layer(BearerLayer::new(tokens, &api)).service(client);
///     let request = Request::get("https://api.example.com/orders").body(Full::default())?;
///     Ok(client.ready().await?.call(request).await?.status().as_u16())
/// }
/// # let _ = orders;
/// ```
///
/// # Errors
/// The service's error is that of the inner service, or a [`RefreshError`](crate::RefreshError) if
/// there is no token. Both are boxed: `error.downcast_ref::<RefreshError>()` tells them apart.
#[derive(Clone)]
pub struct BearerLayer(Arc<Calls>);

/// What all services of a layer share, in one piece: each request takes a handle to it.
struct Calls {
    source: Box<dyn TokenSource>,
    api: Arc<Api>,
}

impl ApiHosts {
    /// Each of `hosts` is a name or an address, with a port if it is not the default one of the
    /// scheme: `api.example.com`, `127.0.0.1:8080`, `[::1]:8080`.
    ///
    /// # Errors
    /// No host, or something that is none: a URL, a path, a user, a wildcard.
    pub fn new(hosts: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, ConfigError> {
        let hosts = Hosts::parse(hosts)?;
        let refusals = Arc::new(Refusals::new(hosts.len()));
        let nonces = (0..hosts.len()).map(|_| ServerNonce::default()).collect();
        let clock = Clock::system();
        metrics::begin_api_calls();
        Ok(Self(Arc::new(Api { hosts, refusals, nonces, clock, copy: None })))
    }

    /// Sets how a body of type `B` is made once more, before it is sent. None: not this one. It
    /// counts for one type, the last one that it was set for.
    #[must_use]
    pub fn resend_with<B: 'static>(
        mut self,
        copy: impl Fn(&B) -> Option<B> + Send + Sync + 'static,
    ) -> Self {
        let copy: CopyBody<B> = Box::new(copy);
        Arc::make_mut(&mut self.0).copy = Some(Arc::new(copy));
        self
    }

    /// Lets the token go to `host` by plain http, such as to the name of a container. Everybody on
    /// the network path can then read it. With a port it is that one alone.
    ///
    /// # Errors
    /// The host is none of those that this was made with.
    pub fn allow_http_to(mut self, host: impl AsRef<str>) -> Result<Self, ConfigError> {
        Arc::make_mut(&mut self.0).hosts.allow_http_to(host.as_ref())?;
        Ok(self)
    }

    /// Sets the clock that the ages of tokens are measured by. The default is the system's. The
    /// refusals so far are forgotten, and those from now on are not shared with earlier clones.
    #[must_use]
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        let api = Arc::make_mut(&mut self.0);
        api.clock = clock.into();
        // Its times are of the clock before, which other clones may keep.
        api.refusals = Arc::new(Refusals::new(api.hosts.len()));
        self
    }
}

impl BearerLayer {
    /// Takes the tokens for the API at these hosts from `source`.
    #[must_use]
    pub fn new(source: impl TokenSource, api: &ApiHosts) -> Self {
        Self(Arc::new(Calls { source: Box::new(source), api: api.0.clone() }))
    }
}

impl<S> Layer<S> for BearerLayer {
    type Service = BearerService<S>;

    fn layer(&self, inner: S) -> BearerService<S> {
        BearerService::new(inner, self.clone())
    }
}

impl fmt::Debug for ApiHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ApiHosts").field(&self.0.hosts).finish()
    }
}

impl fmt::Debug for BearerLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerLayer").field("hosts", &self.0.api.hosts).finish_non_exhaustive()
    }
}
