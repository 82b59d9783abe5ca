//! Custom transports and the proxy variable. `tcp` tests the default transport over sockets.

mod tcp;

use super::*;
use crate::{
    ClientAuth, TokenEndpoint,
    endpoint::{
        EndpointErrorKind as Kind,
        test_support::{SECRET, everything_printed},
    },
};

#[tokio::test]
async fn a_service_that_is_not_ready_has_sent_nothing() {
    #[derive(Clone)]
    struct NeverReady;
    impl Service<http::Request<Bytes>> for NeverReady {
        type Response = http::Response<http_body_util::Empty<Bytes>>;
        type Error = BoxError;
        type Future = std::future::Ready<Result<Self::Response, BoxError>>;
        fn poll_ready(
            &mut self,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), BoxError>> {
            std::task::Poll::Ready(Err("full".into()))
        }
        fn call(&mut self, _: http::Request<Bytes>) -> Self::Future {
            unreachable!("it is never ready")
        }
    }
    let endpoint = TokenEndpoint::new("https://id.example/", ClientAuth::none("app"));
    let provider = endpoint.transport(Transport::new(NeverReady)).validate().unwrap();
    assert_eq!(provider.refresh_always(&"rt".into()).await.unwrap_err().kind(), &Kind::Unreachable);
}

#[tokio::test]
async fn an_error_that_wraps_not_sent_says_the_same() {
    #[derive(Debug, thiserror::Error)]
    #[error("the pool gave no connection")]
    struct NoConnection(#[source] NotSent);
    let transport = Transport::new(tower::service_fn(async |_: http::Request<Bytes>| {
        let refused = NoConnection(NotSent::new("refused"));
        Err::<http::Response<http_body_util::Empty<Bytes>>, _>(refused)
    }));
    let endpoint = TokenEndpoint::new("https://id.example/", ClientAuth::none("app"));
    let provider = endpoint.transport(transport).validate().unwrap();
    let error = provider.refresh_always(&"rt".into()).await.unwrap_err();
    assert_eq!((error.kind(), error.may_have_consumed()), (&Kind::Unreachable, false));
}

#[test]
fn a_proxy_variable_that_is_no_url_is_not_quoted() {
    assert!(proxy_at("http://proxy.example:3128").is_ok());
    let error = proxy_at(&format!("http://user:{SECRET}@proxy:port")).unwrap_err();
    assert!(!everything_printed(&error).contains(SECRET));
}
