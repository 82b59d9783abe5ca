//! Which requests have a token, and which one.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use support::log::Log;
use tower::{Layer, ServiceExt, service_fn};
use tower_token_refresh::{Logout, RefreshError, RefreshErrorKind};

use super::{API, LIFE, bearer, get, refused, scene, status};

#[tokio::test]
async fn each_request_has_the_token_of_now_and_it_is_marked_sensitive() {
    let scene = scene(|_| status(StatusCode::OK)).await;
    for _ in 0..3 {
        assert_eq!(scene.status().await, StatusCode::OK);
        let calls = scene.calls.lock().unwrap().clone();
        let sent = &calls.last().expect("a call")[header::AUTHORIZATION];
        assert!(sent.is_sensitive());
        assert!(scene.world.issuer.is_access_token_live(bearer(calls.last().expect("a call"))));
        scene.world.clock.advance(LIFE);
    }
    assert_eq!(scene.refreshes(), 2);
}

#[tokio::test]
async fn the_token_goes_to_the_named_hosts_only_and_the_log_says_once_why_not_by_http() {
    let log = Log::of_this_thread();
    let scene = scene(refused).await;
    let client = scene.client::<Full<Bytes>>(&scene.layer());
    for uri in [
        "https://evil.example/",
        "http://api.example.com/",
        "http://api.example.com/again",
        "https://api.example.com:444/",
        "http://127.0.0.1:81/",
    ] {
        let request = Request::get(uri).body(Full::default()).expect("a request");
        let response = client.clone().oneshot(request).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{uri}");
    }
    let calls = scene.calls.lock().unwrap().clone();
    assert!(calls.iter().all(|headers| !headers.contains_key(header::AUTHORIZATION)));
    assert_eq!((calls.len(), scene.refreshes()), (5, 0));
    let warnings = log.lines_at("WARN");
    assert!(warnings.len() == 1 && warnings[0].contains("allow_http_to"), "{warnings:?}");
}

#[tokio::test]
async fn a_header_of_the_applications_own_is_kept() {
    let scene = scene(refused).await;
    let request = Request::get(API).header(header::AUTHORIZATION, "Bearer mine");
    let request = request.body(Full::<Bytes>::default()).expect("a request");
    let response = scene.client(&scene.layer()).oneshot(request).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(bearer(&scene.calls.lock().unwrap()[0]), "mine");
    assert_eq!((scene.calls(), scene.refreshes()), (1, 0));
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_and_the_error_says_why() {
    let scene = scene(|_| status(StatusCode::OK)).await;
    let session = scene.world.session(scene.id);
    scene.world.refresher.log_out(&session, Logout::EndSession).await.expect("logged out");
    let error = get(&scene.client(&scene.layer())).await.expect_err("logged out");
    let error = error.downcast_ref::<RefreshError>().expect("a refresh error");
    assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
    assert_eq!(scene.calls(), 0);
}

#[tokio::test]
async fn neither_the_layer_nor_its_service_prints_a_token() {
    let scene = scene(refused).await;
    let layer = scene.layer();
    let service =
        layer.layer(service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(()))));
    let printed = format!("{layer:?} {service:?}");
    assert!(printed.contains("api.example.com"), "{printed}");
    assert!(!printed.contains(&scene.current().await), "{printed}");
}
