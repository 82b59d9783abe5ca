//! How long a request's body may take.

use std::{error::Error, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    routing::post,
};
use http_body_util::BodyExt;
use tokio::sync::{Semaphore, mpsc};
use tower_token_refresh::serve::BodyTimeout;

use crate::world::{SHORT, Serving, serving};

const HALF: &str = "POST /read HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\nhalf ";

/// Says what reading the body brings; at `/later`, only after a permit of the gate.
fn app(gate: Arc<Semaphore>) -> Router {
    let later = async move |body: Body| {
        gate.acquire().await.expect("the gate stays").forget();
        read(body).await
    };
    Router::new()
        .route("/read", post(read))
        .route("/later", post(later))
        .route("/extract", post(async |body: Bytes| body))
        .route("/ignore", post(async || "not read"))
}

async fn read(body: Body) -> String {
    match to_bytes(body, usize::MAX).await {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => {
            let mut causes = std::iter::successors(error.source(), |&cause| cause.source());
            let is_late = causes.any(|cause| cause.is::<BodyTimeout>());
            format!("late: {is_late}")
        }
    }
}

async fn short_limit() -> (Serving, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    (serving(app(gate.clone()), |server| server.body_timeout(SHORT)).await, gate)
}

/// Lets the limit pass: this client runs into it.
async fn limit_passes() {
    let (serving, _) = short_limit().await;
    let mut client = serving.connect().await;
    client.send(HALF).await;
    client.rest().await;
}

#[tokio::test]
async fn a_body_that_is_late_is_an_error_and_the_connection_ends() {
    let (serving, _) = short_limit().await;
    let mut client = serving.connect().await;
    client.send(HALF).await;
    assert_eq!(client.answer().await, "late: true");
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn the_connection_ends_though_the_handler_keeps_the_body() {
    let (keep, mut kept) = mpsc::channel(1);
    let app = Router::new().route(
        "/read",
        post(async move |mut body: Body| {
            while let Some(Ok(_)) = body.frame().await {}
            keep.send(body).await.expect("the test keeps it");
            "late"
        }),
    );
    let serving = serving(app, |server| server.body_timeout(SHORT)).await;
    let mut client = serving.connect().await;
    client.send(HALF).await;
    assert_eq!(client.answer().await, "late");
    assert_eq!(client.rest().await, "");
    assert!(kept.recv().await.expect("kept").frame().await.is_none(), "there is no more of it");
}

#[tokio::test]
async fn an_extractor_answers_400() {
    let (serving, _) = short_limit().await;
    let mut client = serving.connect().await;
    client.send(&HALF.replace("/read", "/extract")).await;
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn a_body_in_time_is_read_and_the_connection_goes_on() {
    let (serving, _) = short_limit().await;
    let mut client = serving.connect().await;
    for _ in 0..2 {
        client.send(&format!("{HALF}done.")).await;
        assert_eq!(client.answer().await, "half done.");
    }
}

#[tokio::test]
async fn the_limit_can_be_turned_off() {
    let serving = serving(app(Arc::new(Semaphore::new(0))), |server| {
        server.body_timeout(SHORT).body_timeout(None)
    })
    .await;
    let mut client = serving.connect().await;
    client.send(HALF).await;
    limit_passes().await;
    client.send("done.").await;
    assert_eq!(client.answer().await, "half done.");
}

#[tokio::test]
async fn a_handler_that_reads_late_makes_no_body_late() {
    let (serving, gate) = short_limit().await;
    let mut client = serving.connect().await;
    // More than hyper reads before it is asked to.
    let body = "x".repeat(200_000);
    let head = format!("POST /later HTTP/1.1\r\nhost: test\r\ncontent-length: {}", body.len());
    client.send(&format!("{head}\r\n\r\n{body}")).await;
    limit_passes().await;
    gate.add_permits(1);
    assert_eq!(client.answer().await, body);
}

#[tokio::test]
async fn a_handler_that_reads_no_body_waits_for_none() {
    let serving = serving(app(Arc::new(Semaphore::new(0))), |server| server).await;
    let mut client = serving.connect().await;
    client.send(&HALF.replace("/read", "/ignore")).await;
    assert_eq!(client.answer().await, "not read");
    assert_eq!(client.rest().await, "", "what is left of the body is nobody's");
}
