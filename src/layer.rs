//! The Tower layer and its two modes.

use std::fmt;

use tower::Layer;

use crate::{
    refresher::TokenRefresher,
    service::{Mode, TokenRefreshService},
};

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
/// A browser is better sent to the login page than shown problem JSON. The error lies in the response's extensions, so a layer around
/// this one can do that:
///
/// ```
/// # #[cfg(feature = "axum")]
/// # fn app(refresher: tower_token_refresh::TokenRefresher) -> axum::Router {
/// use axum::{Router, http::StatusCode, middleware::map_response, response::{IntoResponse, Redirect, Response}, routing::get};
/// use tower_token_refresh::{RefreshError, TokenRefreshLayer};
///
/// async fn log_in_first(response: Response) -> Response {
///     match response.extensions().get::<RefreshError>() {
///         Some(error) if error.kind().status() == StatusCode::UNAUTHORIZED => Redirect::to("/login").into_response(),
///         _ => response,
///     }
/// }
/// Router::new()
///     .route("/account", get(async || "your account"))
///     .layer(TokenRefreshLayer::new(&refresher))
///     .layer(map_response(log_in_first))
///     .layer(refresher.session_layer())
/// # }
/// ```
#[derive(Clone)]
pub struct TokenRefreshLayer {
    refresher: TokenRefresher,
    mode: Mode,
}

impl TokenRefreshLayer {
    /// A layer that lets no request pass without a fresh token.
    #[must_use]
    pub fn new(refresher: &TokenRefresher) -> Self {
        Self { refresher: refresher.clone(), mode: Mode::Guard }
    }

    /// Leaves everything to the extractors: a request that asks for no token neither waits nor touches its session.
    #[must_use]
    pub fn lazy(mut self) -> Self {
        self.mode = Mode::Lazy;
        self
    }
}

impl<S> Layer<S> for TokenRefreshLayer {
    type Service = TokenRefreshService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TokenRefreshService::new(inner, self.refresher.clone(), self.mode)
    }
}

impl fmt::Debug for TokenRefreshLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRefreshLayer").field("mode", &self.mode).finish_non_exhaustive()
    }
}
