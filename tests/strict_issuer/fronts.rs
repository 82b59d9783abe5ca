//! Every front answers as `handle` does: one test body, run on each.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use tower_token_refresh::testing::{Endpoint, StrictIssuer};

use crate::requests::*;

type Answer = Pin<Box<dyn Future<Output = Option<Response<Bytes>>> + Send>>;
/// Sends one request; None where the connection broke.
type Front = Arc<dyn Fn(Request<Bytes>) -> Answer + Send + Sync>;

fn by_handle(issuer: &StrictIssuer) -> Front {
    let issuer = issuer.clone();
    Arc::new(move |request| {
        let response = issuer.handle(request);
        let lost =
            response.extensions().get::<tower_token_refresh::testing::AnswerLost>().is_some();
        Box::pin(async move { (!lost).then_some(response) })
    })
}

fn in_memory(issuer: &StrictIssuer) -> Front {
    let issuer = issuer.clone();
    Arc::new(move |request| {
        let issuer = issuer.clone();
        Box::pin(async move { issuer.exchange(request).await.ok() })
    })
}

fn over_http() -> Front {
    let client = reqwest::Client::new();
    Arc::new(move |request| {
        let client = client.clone();
        Box::pin(async move {
            let response = client.execute(request.try_into().unwrap()).await.ok()?;
            let mut converted = Response::new(Bytes::new());
            *converted.status_mut() = response.status();
            *converted.headers_mut() = response.headers().clone();
            *converted.body_mut() = response.bytes().await.ok()?;
            Some(converted)
        })
    })
}

/// A life: discovery, refresh, userinfo, failures, lost connections, reuse, revocation.
async fn a_whole_life(issuer: &StrictIssuer, send: Front) {
    let discovery = send(get_request(&issuer.discovery_url())).await.unwrap();
    let (status, found) = answer(&discovery);
    assert_eq!((status, text(&found, "issuer")), (200, issuer.issuer_url().as_str()));
    assert_eq!(discovery.headers()["content-type"], "application/json");
    let jwks = send(get_request(text(&found, "jwks_uri"))).await.unwrap();
    assert_eq!(answer(&jwks).1["keys"][0]["alg"], "ES256");

    let login = issuer.log_in("alice");
    let (status, first) =
        answer(&send(refresh_request(issuer, text(&login, "refresh_token"))).await.unwrap());
    assert_eq!(status, 200);
    let userinfo = send(userinfo_request(issuer, text(&first, "access_token"))).await.unwrap();
    assert_eq!(answer(&userinfo).1["preferred_username"], "alice");

    let token = text(&first, "refresh_token");
    let retry_after =
        Response::builder().status(503).header("retry-after", "7").body("".into()).unwrap();
    issuer.answer_next_at(Endpoint::Token, retry_after);
    let busy = send(refresh_request(issuer, token)).await.unwrap();
    assert_eq!(
        (busy.status().as_u16(), &busy.headers()["retry-after"]),
        (503, &"7".parse().unwrap())
    );

    issuer.drop_request_next_at(Endpoint::Token);
    assert!(send(refresh_request(issuer, token)).await.is_none());
    assert!(issuer.is_refresh_token_live(token));
    issuer.drop_answer_next();
    assert!(send(refresh_request(issuer, token)).await.is_none());
    assert_eq!((issuer.refreshes(), issuer.is_refresh_token_live(token)), (2, false));

    let (status, error) = answer(&send(refresh_request(issuer, token)).await.unwrap());
    assert_eq!((status, text(&error, "error")), (400, "invalid_grant"));
    assert!(!issuer.session_alive(token));
    let userinfo = send(userinfo_request(issuer, text(&first, "access_token"))).await.unwrap();
    assert_eq!(userinfo.status(), 401);
    assert!(userinfo.headers().contains_key("www-authenticate"));

    let login = issuer.log_in("alice");
    let revoked = send(revoke_request(issuer, text(&login, "refresh_token"))).await.unwrap();
    assert_eq!((revoked.status().as_u16(), revoked.body().len()), (200, 0));
    assert!(!issuer.session_alive(text(&login, "access_token")));
    let missing = format!("{}/nothing", issuer.issuer_url());
    assert_eq!(send(get_request(&missing)).await.unwrap().status(), 404);
}

#[tokio::test]
async fn as_a_function() {
    let issuer = StrictIssuer::new();
    a_whole_life(&issuer, by_handle(&issuer)).await;
}

#[tokio::test(start_paused = true)]
async fn in_memory_with_paused_time() {
    let issuer = StrictIssuer::new();
    issuer.delay(Duration::from_secs(100));
    a_whole_life(&issuer, in_memory(&issuer)).await;
}

#[tokio::test]
async fn over_a_real_server() {
    let server = StrictIssuer::new().serve().await.unwrap();
    assert!(server.issuer_url().starts_with("http://127.0.0.1:"));
    assert!(server.issuer_url().ends_with("/realms/test"));
    a_whole_life(server.issuer(), over_http()).await;
}

#[tokio::test]
async fn a_real_server_at_an_address_of_ones_own() {
    let free = StrictIssuer::new().serve().await.unwrap();
    let address = free.address();
    assert!(StrictIssuer::new().serve_on(address).await.is_err(), "it is taken");
    free.shut_down().await;
    let server = StrictIssuer::new().serve_on(address).await.unwrap();
    assert_eq!(server.issuer_url(), format!("http://{address}/realms/test"));
    assert!(over_http()(get_request(&server.issuer().jwks_url())).await.is_some());
}

#[tokio::test]
async fn over_wiremock() {
    let server = StrictIssuer::new().start_wiremock().await;
    assert_eq!(server.issuer_url(), format!("{}/realms/test", server.server().uri()));
    a_whole_life(server.issuer(), over_http()).await;
    assert!(!server.server().received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_real_server_has_gates_too() {
    let server = StrictIssuer::new().serve().await.unwrap();
    let (issuer, send) = (server.issuer(), over_http());
    let login = issuer.log_in("alice");
    let token = text(&login, "refresh_token");

    let gate = issuer.gate_before(Endpoint::Token);
    let caller = tokio::spawn(send(refresh_request(issuer, token)));
    gate.reached().await;
    assert_eq!(issuer.refresh_requests(), 0);
    gate.open();
    assert_eq!(caller.await.unwrap().unwrap().status(), 200);
    server.shut_down().await;
}

#[tokio::test]
async fn a_server_that_was_shut_down_answers_nobody() {
    let server = StrictIssuer::new().serve().await.unwrap();
    let (issuer, send) = (server.issuer().clone(), over_http());
    assert!(send(get_request(&issuer.jwks_url())).await.is_some());
    server.shut_down().await;
    assert!(send(get_request(&issuer.jwks_url())).await.is_none());
}
