//! gRPC says 401 in its own way: a 200 with `grpc-status: 16` in its headers.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use support::World;
use tower::{Layer, ServiceExt, service_fn};
use tower_token_refresh::{ApiHosts, BearerLayer};

const CHECK: &str = "https://api.example.com/grpc.health.v1.Health/Check";

struct Called {
    grpc_status: String,
    calls: usize,
    refreshes: usize,
}

/// Calls a method of an API that answers the login's first token like this, and every other one
/// with `OK`.
async fn call<B: Send + 'static>(grpc_status: &'static str, kind: &'static str, body: B) -> Called {
    let world = World::on_swapping();
    let handle = world.refresher.adopt(world.token_set("alice")).await.expect("adopted");
    let tokens = world.refresher.tokens(&handle);
    let first = tokens.token().await.expect("a token").header();
    world.clock.advance(Duration::from_secs(15));

    let api = ApiHosts::new(["api.example.com"]).expect("a host").clock(world.clock.clock());
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let server = service_fn(move |request: Request<B>| {
        counted.fetch_add(1, Ordering::SeqCst);
        let is_first = request.headers()[header::AUTHORIZATION] == first;
        let mut response = Response::new(());
        let status = HeaderValue::from_static(if is_first { grpc_status } else { "0" });
        response.headers_mut().insert("grpc-status", status);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        async move { Ok::<_, Infallible>(response) }
    });
    let client = BearerLayer::new(tokens, &api).layer(server);
    let request = Request::post(CHECK).body(body).expect("a request");
    let response = client.oneshot(request).await.expect("an answer");
    Called {
        grpc_status: response.headers()["grpc-status"].to_str().expect("a number").to_owned(),
        calls: calls.load(Ordering::SeqCst),
        refreshes: world.issuer.refreshes(),
    }
}

fn message() -> Full<Bytes> {
    Full::new(Bytes::from_static(&[0; 5]))
}

#[tokio::test]
async fn unauthenticated_heals_as_a_401_does() {
    for kind in ["application/grpc", "application/grpc+proto", "application/grpc-web"] {
        let called = call("16", kind, message()).await;
        assert_eq!((called.grpc_status.as_str(), called.calls, called.refreshes), ("0", 2, 1));
    }
}

#[tokio::test]
async fn another_status_is_passed_on_and_so_is_a_number_that_is_not_grpcs() {
    for (status, kind) in
        [("7", "application/grpc"), ("0", "application/grpc"), ("16", "text/html")]
    {
        let called = call(status, kind, message()).await;
        assert_eq!((called.grpc_status.as_str(), called.calls, called.refreshes), (status, 1, 0));
    }
}

#[tokio::test]
async fn the_body_of_tonic_is_a_stream_and_its_status_is_passed_on() {
    let called = call("16", "application/grpc", tonic::body::Body::new(message())).await;
    assert_eq!((called.grpc_status.as_str(), called.calls, called.refreshes), ("16", 1, 0));
}
