//! Gates and latency hold requests where a test wants them.

use std::time::Duration;

use tokio::time::Instant;
use tower_token_refresh::testing::{Endpoint, StrictIssuer};

use crate::requests::*;

fn spawn_refresh(
    issuer: &StrictIssuer,
    token: &str,
) -> tokio::task::JoinHandle<(u16, serde_json::Value)> {
    let (issuer, request) = (issuer.clone(), refresh_request(issuer, token));
    tokio::spawn(async move { answer(&issuer.exchange(request).await.unwrap()) })
}

fn login(issuer: &StrictIssuer) -> String {
    text(&issuer.log_in("alice"), "refresh_token").to_owned()
}

#[tokio::test(start_paused = true)]
async fn before_the_issuer_nothing_has_happened_after_it_everything_has() {
    let issuer = StrictIssuer::new();
    let token = login(&issuer);
    let (before, after) = (issuer.gate_before(Endpoint::Token), issuer.gate_after(Endpoint::Token));
    let answer = spawn_refresh(&issuer, &token);

    before.reached().await;
    assert_eq!(issuer.refresh_requests(), 0);
    before.open();
    after.reached().await;
    assert_eq!(issuer.refreshes(), 1);
    assert!(!issuer.is_refresh_token_live(&token));
    assert!(!answer.is_finished());
    after.open();
    assert_eq!(answer.await.unwrap().0, 200);
}

#[tokio::test(start_paused = true)]
async fn gates_are_first_come_first_held_and_for_their_endpoint_only() {
    let issuer = StrictIssuer::new();
    let (first, second) =
        (issuer.gate_before(Endpoint::Token), issuer.gate_before(Endpoint::Token));
    let discovery = issuer.exchange(get_request(&issuer.discovery_url())).await.unwrap();
    assert_eq!(discovery.status(), 200);

    let one = spawn_refresh(&issuer, &login(&issuer));
    first.reached().await;
    let two = spawn_refresh(&issuer, &login(&issuer));
    second.reached().await;
    let three = spawn_refresh(&issuer, &login(&issuer));
    assert_eq!(three.await.unwrap().0, 200, "two gates hold two requests");

    second.open();
    assert_eq!(two.await.unwrap().0, 200);
    assert!(!one.is_finished());
    first.open();
    assert_eq!(one.await.unwrap().0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_gate_is_open_whether_somebody_stands_there_or_not() {
    let issuer = StrictIssuer::new();
    drop(issuer.gate_before(Endpoint::Token));
    let gate = issuer.gate_before(Endpoint::Token);
    let answer = spawn_refresh(&issuer, &login(&issuer));
    gate.reached().await;
    drop(gate);
    assert_eq!(answer.await.unwrap().0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_a_gate_leaves_the_issuer_as_it_was_there() {
    let issuer = StrictIssuer::new();
    let (stays, goes) = (login(&issuer), login(&issuer));

    let gate = issuer.gate_before(Endpoint::Token);
    let caller = spawn_refresh(&issuer, &stays);
    gate.reached().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    assert!(issuer.is_refresh_token_live(&stays));

    let gate = issuer.gate_after(Endpoint::Token);
    let caller = spawn_refresh(&issuer, &goes);
    gate.reached().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    assert!(!issuer.is_refresh_token_live(&goes));
}

#[tokio::test(start_paused = true)]
#[expect(
    clippy::disallowed_methods,
    reason = "the paused clock of tokio is what this test is about"
)]
async fn latency_is_virtual_and_comes_after_the_work() {
    let issuer = StrictIssuer::new();
    issuer.delay(Duration::from_secs(3));
    let started = Instant::now();
    let token = login(&issuer);
    let waiting =
        tokio::time::timeout(Duration::from_secs(1), spawn_refresh(&issuer, &token)).await;
    assert!(waiting.is_err());
    assert_eq!(issuer.refreshes(), 1, "who gives up has still consumed the token");
    assert_eq!(spawn_refresh(&issuer, &login(&issuer)).await.unwrap().0, 200);
    assert_eq!(started.elapsed(), Duration::from_secs(4));
}
