//! The Tower layer and its two modes.

use std::fmt;

use bytes::Bytes;
use http::{Response, request::Parts};
use tower::Layer;

use super::{
    rejection::Hook,
    service::{Mode, TokenRefreshService},
};
use crate::{error::RefreshError, refresher::TokenRefresher};

/// Gives every request below it a fresh access token, or answers it.
///
/// Put the session layer *around* it: below are the routes that need tokens, and the log in callback stands between the two.
///
/// - [`new`](Self::new) guards routes: a request without a usable token is answered here (401, 502, 503, …, as problem JSON of
///   RFC 9457) and never reaches a handler. A CORS preflight passes.
/// - [`lazy`](Self::lazy) is for a whole application: the layer itself looks at nothing, and only a handler that extracts an
///   [`AccessToken`](crate::AccessToken) waits for one, or fails for want of it.
///
/// The service's requests carry the token in their extensions; with the `axum` feature, handlers extract it.
///
/// A browser is better sent to the login page than shown problem JSON: [`on_rejection`](Self::on_rejection) does that. The error also
/// lies in the response's extensions, for layers around this one.
#[derive(Clone)]
pub struct TokenRefreshLayer {
    refresher: TokenRefresher,
    mode: Mode,
    hook: Option<Hook>,
}

impl TokenRefreshLayer {
    /// A layer that lets no request pass without a fresh token.
    #[must_use]
    pub fn new(refresher: &TokenRefresher) -> Self {
        Self { refresher: refresher.clone(), mode: Mode::Guard, hook: None }
    }

    /// Leaves everything to the extractors: a request that asks for no token neither waits nor touches its session.
    #[must_use]
    pub fn lazy(mut self) -> Self {
        self.mode = Mode::Lazy;
        self
    }

    /// Asks `hook` what to answer to a request that gets no token; None is problem JSON, as without a hook. It is asked about the
    /// layer's own rejections and about those of the extractors below it. It must not wait for anything.
    ///
    /// The response goes out as it is, so it is the hook that sets `Cache-Control` or a challenge. The error is put into its
    /// extensions.
    ///
    /// ```
    /// # use tower_token_refresh::{RefreshErrorKind, TokenRefreshLayer, TokenRefresher};
    /// # fn layer(refresher: TokenRefresher) -> TokenRefreshLayer {
    /// TokenRefreshLayer::new(&refresher).on_rejection(|error, head| {
    ///     let is_outage = error.kind() == RefreshErrorKind::Unavailable;
    ///     (is_outage && head.uri.path().starts_with("/feed")).then(|| {
    ///         let mut empty = http::Response::new("[]".into());
    ///         empty.headers_mut().insert("cache-control", http::HeaderValue::from_static("no-store"));
    ///         empty
    ///     })
    /// })
    /// # }
    /// ```
    ///
    /// [`redirect_browsers_to`](crate::rejection::redirect_browsers_to) is one that sends browsers to the login page.
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
        TokenRefreshService::new(inner, self.refresher.clone(), self.mode, self.hook.clone())
    }
}

impl fmt::Debug for TokenRefreshLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRefreshLayer").field("mode", &self.mode).finish_non_exhaustive()
    }
}
