//! What the layer does with a request.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower::{BoxError, Service, ServiceExt};

use super::{BearerLayer, Calls, resend};

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
        let Some(place) = self.layer.0.place_of(request.uri(), request.headers()) else {
            let response = self.inner.call(request);
            return Box::pin(async { response.await.map_err(Into::into) });
        };
        let calls = self.layer.0.clone();
        // The service that was polled ready is the one to call; its clone waits for the next
        // request.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            let mut call = calls.call(place).await?;
            loop {
                let again = if call.may_go_again() { copy_of(&mut request, &calls) } else { None };
                let proof = call.proof(request.method(), request.uri());
                call.authorize(request.headers_mut(), proof);
                let mut response = inner.call(request).await.map_err(Into::into)?;
                let goes_again = call.goes_again(&mut response, again.is_some(), true).await;
                let (true, Some(again)) = (goes_again, again) else { return Ok(response) };
                request = again;
                // An HTTP/1.1 connection may be ready only when its last answer is gone.
                drop(response);
                inner.ready().await.map_err(Into::into)?;
            }
        })
    }
}

/// None if the body cannot be sent twice.
fn copy_of<B: 'static>(request: &mut Request<B>, calls: &Calls) -> Option<Request<B>> {
    let mut copy = Request::new(resend::copy(request.body_mut(), calls.api.copy.as_deref())?);
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    *copy.version_mut() = request.version();
    copy.headers_mut().clone_from(request.headers());
    copy.extensions_mut().clone_from(request.extensions());
    Some(copy)
}

impl<S> fmt::Debug for BearerService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerService").field("layer", &self.layer).finish_non_exhaustive()
    }
}
