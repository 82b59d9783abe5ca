//! What the layer does with a request.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use tower::{BoxError, Service, ServiceExt};

use super::{BearerLayer, challenge::Challenge, resend};
use crate::{error::Chain, metrics, tokens::AccessToken};

/// A token younger than this is not refused for its age.
const YOUNG: Duration = Duration::from_secs(10);

/// A service inside a [`BearerLayer`](crate::BearerLayer).
#[derive(Clone)]
pub struct BearerService<S> {
    inner: S,
    layer: BearerLayer,
}

impl<S> BearerService<S> {
    pub(super) fn new(inner: S, layer: BearerLayer) -> Self {
        Self { inner, layer }
    }
}

impl<S, B, R> Service<Request<B>> for BearerService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Send + 'static,
    R: Send + 'static,
{
    type Response = Response<R>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let host = self.layer.api.hosts.find(request.uri());
        let host = host.filter(|_| !request.headers().contains_key(AUTHORIZATION));
        let Some(host) = host else {
            let response = self.inner.call(request);
            return Box::pin(async { response.await.map_err(Into::into) });
        };
        let layer = self.layer.clone();
        // The service that was polled ready is the one to call; its clone waits for the next
        // request.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let again = copy_of(&request, &layer);
        Box::pin(async move {
            let token = layer.source.token().await?;
            request.headers_mut().insert(AUTHORIZATION, token.header());
            let mut response = inner.call(request).await.map_err(Into::into)?;
            if response.status() != StatusCode::UNAUTHORIZED {
                return Ok(response);
            }
            let is_bad = is_bad_token(&mut response);
            let again = again.filter(|_| is_bad);
            let newer = match &again {
                Some(_) => layer.newer_than(&token, host).await,
                None => None,
            };
            let (Some(mut again), Some(newer)) = (again, newer) else {
                metrics::api_refused("passed_on");
                return Ok(response);
            };
            drop(response);
            again.headers_mut().insert(AUTHORIZATION, newer.header());
            let inner = inner.ready().await.map_err(Into::into)?;
            let mut response = inner.call(again).await.map_err(Into::into)?;
            let is_refused = is_bad_token(&mut response);
            layer.sent_again(&newer, host, is_refused);
            Ok(response)
        })
    }
}

/// Whether another token of the same kind may help. A step-up challenge is told to the caller.
fn is_bad_token<R>(response: &mut Response<R>) -> bool {
    if response.status() != StatusCode::UNAUTHORIZED {
        return false;
    }
    let challenge = Challenge::of(response.headers());
    let is_bad = challenge == Challenge::BadToken;
    if let Challenge::StepUp(step_up) = challenge {
        response.extensions_mut().insert(step_up);
    }
    is_bad
}

/// None if the body cannot be sent twice.
fn copy_of<B: 'static>(request: &Request<B>, layer: &BearerLayer) -> Option<Request<B>> {
    let mut copy = Request::new(resend::copy(request.body(), layer.api.copy.as_deref())?);
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    *copy.version_mut() = request.version();
    copy.headers_mut().clone_from(request.headers());
    copy.extensions_mut().clone_from(request.extensions());
    Some(copy)
}

impl BearerLayer {
    /// None if none is worth asking for, or can be had.
    async fn newer_than(&self, rejected: &AccessToken, host: usize) -> Option<AccessToken> {
        let age = self.api.clock.now().duration_since(rejected.cached().obtained_at);
        let is_young = age.is_ok_and(|age| age < YOUNG);
        if is_young || !self.api.refusals.may_help(host, self.api.clock.monotonic()) {
            return None;
        }
        match self.source.newer_than(rejected).await {
            Ok(newer) => Some(newer),
            Err(error) => {
                // The API's own answer says more to its caller than that no token can be had.
                tracing::debug!(error = %Chain(&error), "a 401 of an API could not be healed");
                None
            }
        }
    }

    fn sent_again(&self, newer: &AccessToken, host: usize, is_refused: bool) {
        metrics::api_refused(if is_refused { "refused_again" } else { "healed" });
        let token = (newer.cached().key, newer.cached().generation);
        self.api.refusals.sent_again(host, token, is_refused, self.api.clock.monotonic());
    }
}

impl<S> fmt::Debug for BearerService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerService").field("layer", &self.layer).finish_non_exhaustive()
    }
}
