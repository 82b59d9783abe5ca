//! Only this application's own pages may change something (cross-site request forgery, and
//! cross-site WebSocket hijacking).

use std::{
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::future::Either;
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, header};
use tower::{Layer, Service};
use url::Url;

use super::problem;
use crate::error::ConfigError;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses requests that another site has the browser send.
///
/// A browser adds the session's cookie to every request for this application, whoever's page makes
/// it. `SameSite` alone does not help against a sibling domain, which is of the same site. So the
/// layer asks what the browser itself says of the page, in this order:
///
/// | request | passes |
/// |---|---|
/// | with `Upgrade`, such as a WebSocket's | if `Origin` is the application's, and the rows below let it pass |
/// | GET, HEAD, OPTIONS, TRACE | always: these methods are safe (RFC 9110, section 9.2.1) |
/// | with `Sec-Fetch-Site` (Fetch Metadata) | if that is `same-origin`, or `none`: the user's own doing |
/// | with `Origin` (RFC 6454, section 7) | if it is the application's, to the letter; `null` is not |
/// | with neither | without `Cookie`: nobody's rights are borrowed |
///
/// The origin is a setting and never taken from `Host`, which is another one behind a proxy and any
/// one after DNS rebinding. A header that comes twice must pass twice. Every other request gets a
/// 403 as problem JSON (RFC 9457) with `Cache-Control: no-store`, and the code `cross_site`.
///
/// A client that is no browser and does send cookies has to send `Origin` as well. Handlers must
/// not change anything on GET. Whoever calls without cookies, such as the provider with a logout
/// token, needs no layer.
///
/// ```
/// # #[cfg(feature = "axum")]
/// # fn app() -> Result<axum::Router, tower_token_refresh::ConfigError> {
/// use axum::{Router, routing::post};
/// use tower_token_refresh::SameOriginLayer;
///
/// let app = Router::new()
///     .route("/orders", post(async || "ordered"))
///     .layer(SameOriginLayer::new("https://shop.example.com")?);
/// # Ok(app)
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SameOriginLayer(Arc<str>);

/// A service inside a [`SameOriginLayer`].
#[derive(Clone, Debug)]
pub struct SameOriginService<S> {
    inner: S,
    origin: Arc<str>,
}

impl SameOriginLayer {
    /// For an application whose pages browsers see at `origin`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Url`] unless `origin` is what a browser sends in `Origin` (RFC 6454, section
    /// 6.2): http or https, the host in lower case, the port unless it is the scheme's own, and
    /// nothing else, not even a slash at its end.
    pub fn new(origin: impl Into<String>) -> Result<Self, ConfigError> {
        let origin = origin.into();
        let url = Url::parse(&origin).ok();
        let is_origin = url.as_ref().is_some_and(|url| {
            matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == origin
        });
        if is_origin {
            return Ok(Self(origin.into()));
        }
        // Without what may be secret in it.
        let value = url.map(|url| url.origin().ascii_serialization());
        Err(ConfigError::Url {
            what: "the origin of SameOriginLayer",
            value: value.unwrap_or_default(),
            rule: "it must be as browsers send it, such as `https://shop.example.com`: http or https, host in lower case, no port that is the scheme's own, no path",
        })
    }
}

impl<S> Layer<S> for SameOriginLayer {
    type Service = SameOriginService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SameOriginService { inner, origin: self.0.clone() }
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for SameOriginService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: From<Bytes>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Self::Response, Self::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        if passes(request.method(), request.headers(), &self.origin) {
            return Either::Left(self.inner.call(request));
        }
        tracing::debug!(method = %request.method(), "a request of another site was refused");
        let detail = "This request does not come from a page of this application.";
        let refusal = problem::saying(StatusCode::FORBIDDEN, detail, "cross_site");
        Either::Right(ready(Ok(refusal.map(ResBody::from))))
    }
}

fn passes(method: &Method, headers: &HeaderMap, origin: &str) -> bool {
    // WebSockets are not bound by CORS, so only the server can look at who opens one.
    if headers.contains_key(header::UPGRADE) && !is_own(headers, origin).unwrap_or(false) {
        return false;
    }
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE) {
        return true;
    }
    all(headers, &SEC_FETCH_SITE, |site| matches!(site, b"same-origin" | b"none"))
        .or_else(|| is_own(headers, origin))
        .unwrap_or_else(|| !headers.contains_key(header::COOKIE))
}

fn is_own(headers: &HeaderMap, origin: &str) -> Option<bool> {
    all(headers, &header::ORIGIN, |sent| sent == origin.as_bytes())
}

/// None without the header.
fn all(headers: &HeaderMap, name: &HeaderName, fits: impl Fn(&[u8]) -> bool) -> Option<bool> {
    let values = headers.get_all(name);
    headers.contains_key(name).then(|| values.iter().all(|value| fits(value.as_bytes())))
}
