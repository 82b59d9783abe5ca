//! BIN = service_tokens. RED.
//! The clock jumps forward while a token request is under way (a machine that slept). A login's flight asks once more
//! (src/refresher/refresh.rs, ExpiredAtBirth); a slot gives all waiters a 502, logs an ERROR that blames the provider, and
//! keeps the answer for 1 s. Cause: src/outbound/slots/mod.rs:292-296.
use support::{LIFE, World};
use tower_token_refresh::testing::Endpoint;
use crate::Service;

const JUMP: i64 = 3600;

#[tokio::test]
async fn service_tokens() {
    let service = Service::new();
    let gate = service.issuer.gate_after(Endpoint::Token);
    let waiter = service.ask();
    gate.reached().await;
    service.clock.jump_wall(JUMP);
    gate.open();
    assert_eq!(waiter.await.unwrap().map(drop).map_err(|error| error.kind()), Ok(()));
}

#[tokio::test]
async fn control_a_login() {
    let world = World::on_swapping();
    let handle = world.refresher.adopt(world.token_set("alice")).await.unwrap();
    let tokens = world.refresher.tokens(&handle);
    world.clock.advance(LIFE);
    let gate = world.issuer.gate_after(Endpoint::Token);
    let waiter = tokio::spawn(async move { tokens.token().await });
    gate.reached().await;
    world.clock.jump_wall(1700); // its refresh token lives for 1800 s
    gate.open();
    assert_eq!(waiter.await.unwrap().map(drop).map_err(|error| error.kind()), Ok(()));
}
