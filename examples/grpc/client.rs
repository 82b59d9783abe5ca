//! The client: a channel, and around it the layer that puts the token on each call.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use tonic::{
    body::Body,
    client::GrpcService,
    transport::{Channel, Endpoint, Uri},
};
use tonic_health::pb::health_client::HealthClient;
use tower::{BoxError, ServiceBuilder};
use tower_token_refresh::{ApiHosts, BearerLayer, TokenSource};

/// For unary methods, and for methods that answer with a stream: one message goes out.
///
/// A method that *sends* a stream must not be collected. Give it a client whose channel has only
/// the `BearerLayer`: there `UNAUTHENTICATED` is passed on, and whoever made the stream can ask
/// `newer_than` for another token and begin again.
pub fn unary(
    origin: Uri,
    tokens: impl TokenSource,
    api: &ApiHosts,
) -> HealthClient<impl GrpcService<Body, ResponseBody = Body, Error = BoxError, Future: Send> + Clone>
{
    let channel: Channel = Endpoint::from(origin.clone()).connect_lazy();
    let with_tokens = ServiceBuilder::new()
        .filter_async(whole)
        .layer(BearerLayer::new(tokens, api))
        .map_request(|request: Request<Full<Bytes>>| request.map(Body::new))
        .service(channel);
    // With the origin, or the layer would not see which host a call is for.
    HealthClient::with_origin(with_tokens, origin)
}

/// A body of bytes can be sent again.
async fn whole(request: Request<Body>) -> Result<Request<Full<Bytes>>, BoxError> {
    let (head, body) = request.into_parts();
    Ok(Request::from_parts(head, Full::new(body.collect().await?.to_bytes())))
}
