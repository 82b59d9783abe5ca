//! How requests reach the provider: any `tower::Service` over `http` types; reqwest by default.

use std::{env, error::Error as StdError, fmt, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use reqwest::{Client, NoProxy, Proxy};
use tower::{Service, ServiceExt, util::BoxCloneSyncService};

use crate::ConfigError;

/// Shorter than the idle limit of any server we know: a connection the provider has just closed would lose the request, and
/// whether it was read before is not to be told apart from an answer that got lost.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// An error of a transport, whatever it is.
pub type BoxError = Box<dyn StdError + Send + Sync>;
/// The body of a provider's answer, read no further than the limit allows.
pub type TransportBody = UnsyncBoxBody<Bytes, BoxError>;

/// Carries a request to the provider and brings the answer back.
///
/// It must not follow redirects, nor send a request twice. Time limits for the whole exchange are the endpoint's, not the
/// transport's. Body and `Authorization` header of a request carry secrets: neither log them nor put them into an error.
///
/// An error that is or wraps [`NotSent`] says that the request surely never left, so that it may be tried again without the
/// risk of presenting a refresh token twice; an error of `poll_ready` counts as one. All other errors count as ambiguous.
///
/// Without a transport of your own, reqwest is used: no redirects, no retries, no cookies, no compression, and no connection
/// that was idle for over 5 s. Of the proxy variables it takes `HTTPS_PROXY` with `NO_PROXY`, for https only: through
/// `HTTP_PROXY`, plain http would show the secrets to the proxy.
#[derive(Clone)]
pub struct Transport(
    BoxCloneSyncService<http::Request<Bytes>, http::Response<TransportBody>, BoxError>,
);

/// The request was surely not sent: no connection was made.
#[derive(Debug, thiserror::Error)]
#[error("no connection was made")]
pub struct NotSent(#[source] BoxError);

impl NotSent {
    /// Wraps what kept the request from being sent.
    pub fn new(cause: impl Into<BoxError>) -> Self {
        Self(cause.into())
    }

    /// Whether `error` or one of its sources is a `NotSent`.
    pub(super) fn is_in(error: &(dyn StdError + 'static)) -> bool {
        error.is::<Self>() || error.source().is_some_and(Self::is_in)
    }
}

impl Transport {
    /// Uses `service` to reach the provider.
    ///
    /// For example a reqwest client of your own, which may trust the authority of your company:
    ///
    /// ```
    /// # use tower_token_refresh::Transport;
    /// fn transport(client: reqwest::Client) -> Transport {
    ///     Transport::new(tower::service_fn(move |request: http::Request<bytes::Bytes>| {
    ///         let client = client.clone();
    ///         async move {
    ///             let response = client.execute(request.try_into()?).await?;
    ///             Ok::<_, reqwest::Error>(http::Response::<reqwest::Body>::from(response))
    ///         }
    ///     }))
    /// }
    /// # let _ = transport;
    /// ```
    pub fn new<S, B>(service: S) -> Self
    where
        S: Service<http::Request<Bytes>, Response = http::Response<B>>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let service = service
            .map_response(|response: http::Response<B>| {
                response.map(|body| body.map_err(Into::into).boxed_unsync())
            })
            .map_err(Into::into);
        Self(BoxCloneSyncService::new(service))
    }

    /// The default transport. It reads the proxy variables now.
    pub(super) fn reqwest(connect_timeout: Duration) -> Result<Self, ConfigError> {
        let mut builder = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_gzip()
            .no_brotli()
            .no_deflate()
            .no_zstd()
            .connect_timeout(connect_timeout)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .no_proxy();
        if let Some(proxy) = https_proxy()? {
            builder = builder.proxy(proxy);
        }
        let client = builder.build().map_err(|error| ConfigError::Transport {
            rule: innermost(&error.without_url()).to_string(),
        })?;

        Ok(Self::new(tower::service_fn(move |request: http::Request<Bytes>| {
            let client = client.clone();
            async move {
                let request = reqwest::Request::try_from(request).map_err(NotSent::new)?;
                let response = client.execute(request).await.map_err(without_url)?;
                let response: http::Response<reqwest::Body> = response.into();
                Ok::<_, BoxError>(response.map(|body| body.map_err(without_url)))
            }
        })))
    }

    pub(crate) async fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<TransportBody>, BoxError> {
        let mut service = self.0.clone();
        service.ready().await.map_err(NotSent::new)?.call(request).await
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transport")
    }
}

fn https_proxy() -> Result<Option<Proxy>, ConfigError> {
    let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let url = set("HTTPS_PROXY").or_else(|| set("https_proxy"));
    url.map(|url| Ok(proxy_at(&url)?.no_proxy(NoProxy::from_env()))).transpose()
}

fn proxy_at(url: &str) -> Result<Proxy, ConfigError> {
    // reqwest's error would quote the URL, and with it the proxy's password.
    Proxy::https(url).map_err(|_| ConfigError::Transport {
        rule: "HTTPS_PROXY is not a usable proxy URL".into(),
    })
}

/// A token URL may carry a secret in its query.
fn without_url(error: reqwest::Error) -> BoxError {
    let error = error.without_url();
    if error.is_connect() || error.is_builder() { NotSent::new(error).into() } else { error.into() }
}

fn innermost<'a>(error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    error.source().map_or(error, innermost)
}

#[cfg(test)]
#[path = "tests/transport.rs"]
mod tests;
