//! The Tower layer and its two modes.

use std::fmt;

use bytes::Bytes;
use http::{Response, request::Parts};
use tower::Layer;

use super::{
    place::{Only, Puts},
    rejection::Hook,
    service::{Mode, TokenRefreshService},
};
use crate::{error::RefreshError, refresher::TokenRefresher};

/// Gives each request a fresh access token, or answers the request.
///
/// - [`new`](Self::new) guards routes. The layer answers a request without a usable token (401,
///   502, 503 and so on, as problem JSON of RFC 9457), and no handler sees it. A CORS preflight
///   passes.
/// - [`lazy`](Self::lazy) is for a whole application. The layer looks at nothing, and only a
///   handler that extracts an [`AccessToken`](crate::AccessToken) waits for one or fails.
///
/// For public pages and guarded routes in one router, put a guard inside a lazy layer. Put the
/// session layer around both:
///
/// ```
/// # #[cfg(feature = "axum")]
/// # fn app(refresher: tower_token_refresh::TokenRefresher) -> axum::Router {
/// use axum::{Router, routing::get};
/// use tower_token_refresh::{AccessToken, TokenRefreshLayer};
///
/// async fn home(token: Option<AccessToken>) -> &'static str {
///     if token.is_some() { "welcome back" } else { "hello, stranger" }
/// }
/// Router::new()
///     .route("/account", get(async || "your account"))
///     .route_layer(TokenRefreshLayer::new(&refresher)) // guards /account
///     .route("/", get(home))                           // public, but may use the token
///     .layer(TokenRefreshLayer::new(&refresher).lazy())
///     .layer(refresher.session_layer())
/// # }
/// ```
///
/// The token is in the request's extensions; with the `axum` feature, handlers extract it. The
/// error of a rejected request is in the response's extensions. To send browsers to the login page
/// instead of problem JSON, use [`on_rejection`](Self::on_rejection).
#[derive(Clone)]
pub struct TokenRefreshLayer {
    refresher: TokenRefresher,
    mode: Mode,
    hook: Option<Hook>,
    puts: Puts,
}

impl TokenRefreshLayer {
    /// A layer that lets no request pass without a fresh token.
    #[must_use]
    pub fn new(refresher: &TokenRefresher) -> Self {
        Self {
            refresher: refresher.clone(),
            mode: Mode::Guard,
            hook: None,
            puts: Puts::into::<Only>(),
        }
    }

    /// Leaves everything to the extractors. A request whose handler extracts no token neither waits
    /// nor loads its session.
    #[must_use]
    pub fn lazy(mut self) -> Self {
        self.mode = Mode::Lazy;
        self
    }

    /// Names the provider by the type `P`, in an application that has several: the layers of two
    /// providers then do not overwrite each other's token. Handlers extract `FromProvider<P, T>`
    /// instead of `T`; its documentation has an example.
    #[cfg(feature = "axum")]
    #[must_use]
    pub fn provider<P: 'static>(mut self) -> Self {
        self.puts = Puts::into::<super::place::Named<P>>();
        self
    }

    /// Lets `hook` answer the requests that get no token: those that the layer rejects, and those
    /// that extractors below it reject. None means problem JSON, as without a hook. The hook must
    /// not block.
    ///
    /// An extractor that hands its error to the handler, as a `Result`, asks the hook as well: if
    /// the handler returns that error, the hook's answer goes out. The hook does not see an error
    /// that the handler got from somewhere else, such as `LoginTokens::token` or a client with a
    /// [`BearerLayer`](crate::BearerLayer). If the handler returns that one, the answer is problem
    /// JSON.
    ///
    /// The response goes out as it is, so the hook sets `Cache-Control` or a challenge itself. The
    /// error is added to its extensions.
    ///
    /// ```
    /// # use tower_token_refresh::{RefreshErrorKind, TokenRefreshLayer, TokenRefresher};
    /// # fn layer(refresher: TokenRefresher) -> TokenRefreshLayer {
    /// TokenRefreshLayer::new(&refresher).on_rejection(|error, head| {
    ///     let is_outage = error.kind() == RefreshErrorKind::Unavailable;
    ///     (is_outage && head.uri.path().starts_with("/feed")).then(|| {
    ///         let mut empty = http::Response::new("[]".into());
    ///         let no_store = http::HeaderValue::from_static("no-store");
    ///         empty.headers_mut().insert("cache-control", no_store);
    ///         empty
    ///     })
    /// })
    /// # }
    /// ```
    ///
    /// [`redirect_browsers_to`](crate::rejection::redirect_browsers_to) makes a hook that sends
    /// browsers to the login page.
    #[must_use]
    pub fn on_rejection(
        mut self,
        hook: impl Fn(&RefreshError, &Parts) -> Option<Response<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        self.hook = Some(Hook::new(hook));
        self
    }
}

impl<S> Layer<S> for TokenRefreshLayer {
    type Service = TokenRefreshService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let (mode, hook) = (self.mode, self.hook.clone());
        TokenRefreshService::new(inner, self.refresher.clone(), mode, hook, self.puts)
    }
}

impl fmt::Debug for TokenRefreshLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRefreshLayer").field("mode", &self.mode).finish_non_exhaustive()
    }
}
