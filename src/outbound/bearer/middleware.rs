//! The same rules for a client of `reqwest-middleware`.

use http::{Extensions, HeaderMap, StatusCode, Uri};
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
/// by another scheme or to another port, and does not put it back on the way back. The proof of a
/// key stays on the request: it says nothing but which URL was called, and is worth nothing without
/// the token.
///
/// A 401 of a URL that a redirect has led to is passed on, also on the same host: nobody can tell
/// whether the token has come that far, and a proof names the URL that was called. (Of a detour
/// that ends where it began, reqwest tells nothing.) Call the final URL.
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
}

#[async_trait::async_trait]
impl Middleware for BearerMiddleware {
    async fn handle(
        &self,
        mut request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let calls = &*self.0.0;
        let uri = uri_of(request.url());
        let place = uri.as_ref().and_then(|uri| calls.place_of(uri, request.headers()));
        let (Some(uri), Some(place)) = (uri, place) else {
            return next.run(request, extensions).await;
        };
        let mut call = calls.call(place).await.map_err(Error::middleware)?;
        loop {
            let again = if call.may_go_again() { request.try_clone() } else { None };
            let proof = call.proof(request.method(), &uri);
            call.authorize(request.headers_mut(), proof);
            let mut response = next.clone().run(request, extensions).await?;
            // Whoever a redirect has led to may not have seen the token, whatever its host: reqwest
            // takes it off for good, and tells the last URL only.
            let is_direct = uri_of(response.url()).as_ref() == Some(&uri);
            let goes_again = call.goes_again(&mut response, again.is_some(), is_direct).await;
            let (true, Some(again)) = (goes_again, again) else { return Ok(response) };
            request = again;
        }
    }
}

/// reqwest may accept a URL that `http` does not.
fn uri_of(url: &Url) -> Option<Uri> {
    url.as_str().parse().ok()
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
