//! How requests reach the provider: any `tower::Service` over `http` types; reqwest by default.

use std::{error::Error as StdError, fmt};

use bytes::Bytes;
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use tower::{Service, ServiceExt, util::BoxCloneSyncService};

/// An error of a transport, whatever it is.
pub type BoxError = Box<dyn StdError + Send + Sync>;
/// The body of a provider's answer, read no further than the limit allows.
pub type TransportBody = UnsyncBoxBody<Bytes, BoxError>;

/// Carries a request to the provider and brings the answer back.
///
/// It must not follow redirects. Time limits for the whole exchange are the endpoint's, not the transport's.
#[derive(Clone)]
pub struct Transport(BoxCloneSyncService<http::Request<Bytes>, http::Response<TransportBody>, BoxError>);

impl Transport {
    /// Uses `service` to reach the provider.
    pub fn new<S, B>(service: S) -> Self
    where
        S: Service<http::Request<Bytes>, Response = http::Response<B>> + Clone + Send + Sync + 'static,
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

    pub(crate) async fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<TransportBody>, BoxError> {
        self.0.clone().oneshot(request).await
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transport")
    }
}
