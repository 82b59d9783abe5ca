//! [`Transport`]: carries requests to the provider, by reqwest or by any `tower::Service`.

use std::{env, error::Error as StdError, fmt, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use reqwest::{Client, ClientBuilder, NoProxy, Proxy};
use tower::{Service, ServiceExt, util::BoxCloneSyncService};

use super::auth::ClientCertificate;
use crate::ConfigError;

/// How long the default transport keeps an idle connection.
///
/// It is shorter than the idle limit of every server we know. On a connection that the provider is
/// just closing, a lost request cannot be told from a lost answer.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// Any error of a transport.
pub(super) type BoxError = Box<dyn StdError + Send + Sync>;
/// The body of a provider's answer. [`Exchange`](super::exchange::Exchange) limits how much it
/// reads.
pub(super) type TransportBody = UnsyncBoxBody<Bytes, BoxError>;

/// Carries requests to the provider.
///
/// The default transport is reqwest without redirects, retries, cookies and compression. It does
/// not reuse a connection that was idle for over 5 s. It reads the proxy variables `HTTPS_PROXY`
/// and `NO_PROXY`, for https only; it ignores `HTTP_PROXY`, because plain http would show the
/// secrets to the proxy.
///
/// A transport of your own must not follow redirects and must not send a request twice. The body
/// and the `Authorization` header of a request carry secrets, so do not log them or put them into
/// an error. The endpoint limits the time of each exchange; the transport need not.
///
/// Return an error that is or wraps [`NotSent`] if the request was certainly not sent. Only then
/// may it be sent again without the risk of using a refresh token twice. An error of `poll_ready`
/// counts as `NotSent`. After every other error the provider may have received the request.
#[derive(Clone)]
pub struct Transport(
    BoxCloneSyncService<http::Request<Bytes>, http::Response<TransportBody>, BoxError>,
);

/// The request was certainly not sent, because there was no connection.
#[derive(Debug, thiserror::Error)]
#[error("no connection to the provider")]
pub struct NotSent(#[source] BoxError);

impl NotSent {
    /// Wraps the error that prevented the request.
    pub fn new(cause: impl Into<BoxError>) -> Self {
        Self(cause.into())
    }

    /// Whether `error` or one of its sources is a `NotSent`.
    pub(super) fn is_in(error: &(dyn StdError + 'static)) -> bool {
        error.is::<Self>() || error.source().is_some_and(Self::is_in)
    }
}

impl Transport {
    /// Sends requests by `service`, for example by a reqwest client that trusts the certificate
    /// authority of your company:
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

    /// The default transport. This call reads the proxy variables.
    pub(super) fn reqwest(
        connect_timeout: Duration,
        certificate: Option<&ClientCertificate>,
    ) -> Result<Self, ConfigError> {
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
        if let Some(certificate) = certificate {
            builder = with_certificate(builder, certificate)?;
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

#[cfg(feature = "rustls")]
fn with_certificate(
    builder: ClientBuilder,
    certificate: &ClientCertificate,
) -> Result<ClientBuilder, ConfigError> {
    Ok(builder.identity(certificate.identity()?))
}

#[cfg(not(feature = "rustls"))]
fn with_certificate(_: ClientBuilder, _: &ClientCertificate) -> Result<ClientBuilder, ConfigError> {
    let rule = "a client certificate needs the feature `rustls`, or a transport of your own";
    Err(ConfigError::Transport { rule: rule.into() })
}

fn https_proxy() -> Result<Option<Proxy>, ConfigError> {
    let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let url = set("HTTPS_PROXY").or_else(|| set("https_proxy"));
    url.map(|url| Ok(proxy_at(&url)?.no_proxy(NoProxy::from_env()))).transpose()
}

fn proxy_at(url: &str) -> Result<Proxy, ConfigError> {
    // Deliberately without reqwest's error, which would quote the URL with the proxy's password.
    Proxy::https(url).map_err(|_| ConfigError::Transport {
        rule: "HTTPS_PROXY is not a usable proxy URL".into(),
    })
}

/// Removes the URL from an error: a token URL may carry a secret in its query.
fn without_url(error: reqwest::Error) -> BoxError {
    let error = error.without_url();
    if error.is_connect() || error.is_builder() { NotSent::new(error).into() } else { error.into() }
}

fn innermost<'a>(error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    error.source().map_or(error, innermost)
}

#[cfg(test)]
mod tests;
