//! What the layer does with a request.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Extensions, Method, Request, Response, header, request::Parts};
use tower::Service;
use tower_sessions::Session;

use super::{place::Puts, problem, rejection::Hook};
use crate::{
    error::{RefreshError, RefreshErrorKind},
    refresher::TokenRefresher,
};

/// A service inside a [`TokenRefreshLayer`](crate::TokenRefreshLayer).
#[derive(Clone)]
pub struct TokenRefreshService<S> {
    inner: S,
    refresher: TokenRefresher,
    mode: Mode,
    hook: Option<Hook>,
    puts: Puts,
}

/// Who asks for the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The service, for every request.
    Guard,
    /// The extractors, where there are any.
    Lazy,
}

impl<S> TokenRefreshService<S> {
    pub(crate) fn new(
        inner: S,
        refresher: TokenRefresher,
        mode: Mode,
        hook: Option<Hook>,
        puts: Puts,
    ) -> Self {
        Self { inner, refresher, mode, hook, puts }
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for TokenRefreshService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Future: Send,
    ReqBody: Send + 'static,
    ResBody: From<Bytes>,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let refresher = self.refresher.clone();
        (self.puts.enter)(request.extensions_mut(), &refresher);
        if let Some(hook) = &self.hook {
            (self.puts.hook)(request.extensions_mut(), hook.clone());
        }
        if self.mode == Mode::Lazy || is_preflight(&request) {
            (self.puts.refresher)(request.extensions_mut(), refresher);
            return Box::pin(self.inner.call(request));
        }
        // The service that was polled ready is the one to call; its clone waits for the next
        // request.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let puts = self.puts;
        Box::pin(async move {
            let asked = match session_in(request.extensions()) {
                Ok(session) => refresher.valid_token(session).await,
                Err(error) => Err(error),
            };
            match asked {
                Ok(token) => {
                    (puts.token)(request.extensions_mut(), token);
                    (puts.refresher)(request.extensions_mut(), refresher);
                    inner.call(request).await
                }
                Err(error) => {
                    let (head, _body) = request.into_parts();
                    Ok(problem::response(rejected(error, &head, puts.hook_in)).map(ResBody::from))
                }
            }
        })
    }
}

/// The session of a request, if there is a session layer above.
pub(crate) fn session_in(extensions: &Extensions) -> Result<&Session, RefreshError> {
    extensions.get::<Session>().ok_or_else(no_session_layer)
}

/// `error`, with the application's own answer if it has one.
pub(crate) fn rejected(
    error: RefreshError,
    head: &Parts,
    hook_in: fn(&Extensions) -> Option<&Hook>,
) -> RefreshError {
    match hook_in(&head.extensions) {
        Some(hook) => hook.ask(error, head),
        None => error,
    }
}

fn no_session_layer() -> RefreshError {
    RefreshError::new(
        RefreshErrorKind::Misconfigured,
        "the request has no session: add `.layer(refresher.session_layer())` around the token refresh layer, and make sure that \
         no other version of tower-sessions than 0.14 provides the session",
    )
}

/// A browser sends a preflight without cookies (Fetch standard, "CORS-preflight fetch"), so it can
/// never carry a session.
fn is_preflight<B>(request: &Request<B>) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ORIGIN)
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

impl<S> fmt::Debug for TokenRefreshService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRefreshService").field("mode", &self.mode).finish_non_exhaustive()
    }
}
