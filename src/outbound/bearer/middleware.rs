//! The same rules for a client of `reqwest-middleware`.

use http::{Extensions, HeaderMap, StatusCode, Uri, header::AUTHORIZATION};
use reqwest::{Request, Response, Url};
use reqwest_middleware::{Error, Middleware, Next};

use super::{ApiHosts, BearerLayer, rules::Answer};
use crate::outbound::TokenSource;

/// [`BearerLayer`] for a client of `reqwest-middleware`, with the same rules.
///
/// ```
/// use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
/// use tower_token_refresh::{ApiHosts, BearerMiddleware, LoginTokens};
///
/// /// `http` and `api` are made once: `ApiHosts::new(["api.example.com"])`.
/// fn client(http: reqwest::Client, api: &ApiHosts, tokens: LoginTokens) -> ClientWithMiddleware {
///     ClientBuilder::new(http).with(BearerMiddleware::new(tokens, api)).build()
/// }
/// # let _ = client;
/// ```
///
/// A body can be sent again if reqwest can clone the request: any but a stream.
/// [`ApiHosts::resend_with`] plays no part.
///
/// reqwest follows redirects within. It takes the token off a request that goes to another host,
/// and a 401 from there is passed on.
///
/// A middleware that tries failed requests again belongs before this one, so that each try gets a
/// token that is fresh then.
///
/// # Errors
/// [`reqwest_middleware::Error::Middleware`] with a [`RefreshError`](crate::RefreshError) if there
/// is no token. Nothing is sent then.
#[derive(Debug, Clone)]
pub struct BearerMiddleware(BearerLayer);

impl BearerMiddleware {
    /// Takes the tokens for the API at these hosts from `source`.
    #[must_use]
    pub fn new(source: impl TokenSource, api: &ApiHosts) -> Self {
        Self(BearerLayer::new(source, api))
    }

    fn host_of(&self, url: &Url, headers: &HeaderMap) -> Option<usize> {
        self.0.host_of(&url.as_str().parse::<Uri>().ok()?, headers)
    }
}

#[async_trait::async_trait]
impl Middleware for BearerMiddleware {
    async fn handle(
        &self,
        mut request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let Some(host) = self.host_of(request.url(), request.headers()) else {
            return next.run(request, extensions).await;
        };
        let layer = &self.0;
        let again = request.try_clone();
        let token = layer.source.token().await.map_err(Error::middleware)?;
        request.headers_mut().insert(AUTHORIZATION, token.header());
        let mut response = next.clone().run(request, extensions).await?;
        // Whoever a redirect has led to never saw the token.
        let has_seen_it = self.host_of(response.url(), &HeaderMap::new()) == Some(host);
        let can_be_sent_again = again.is_some() && has_seen_it;
        let newer = layer.token_to_send_again(&token, &mut response, host, can_be_sent_again).await;
        let (Some(mut again), Some(newer)) = (again, newer) else { return Ok(response) };
        drop(response);
        again.headers_mut().insert(AUTHORIZATION, newer.header());
        let mut response = next.run(again, extensions).await?;
        layer.sent_again(&newer, &mut response, host);
        Ok(response)
    }
}

impl Answer for Response {
    fn status(&self) -> StatusCode {
        Self::status(self)
    }

    fn headers(&self) -> &HeaderMap {
        Self::headers(self)
    }

    fn extensions_mut(&mut self) -> &mut Extensions {
        Self::extensions_mut(self)
    }
}
