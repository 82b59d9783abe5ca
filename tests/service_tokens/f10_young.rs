//! BIN = outbound. RED.
//! "401 to a token younger than 10 s: passes it on". The wall clock steps back by 2 s (NTP).
//! Cause: src/outbound/bearer/rules.rs:63-64: an age below zero counts as old.
use std::{convert::Infallible, time::Duration};
use http::{Request, Response, StatusCode};
use support::World;
use tower::{Layer, ServiceExt, service_fn};
use tower_token_refresh::{ApiHosts, BearerLayer};

#[tokio::test]
async fn a_token_of_one_second_is_not_refreshed_where_the_clock_steps_back() {
    let world = World::on_swapping();
    let tokens = world.refresher.tokens(&world.refresher.adopt(world.token_set("alice")).await.unwrap());
    let api = ApiHosts::new(["api.example.com"]).unwrap().clock(world.clock.clock());
    world.clock.advance(Duration::from_secs(1));
    world.clock.jump_wall(-2);
    let client = service_fn(async |_: Request<()>| {
        let mut answer = Response::new(());
        *answer.status_mut() = StatusCode::UNAUTHORIZED;
        Ok::<_, Infallible>(answer)
    });
    let client = BearerLayer::new(tokens, &api).layer(client);
    client.oneshot(Request::get("https://api.example.com/").body(()).unwrap()).await.unwrap();
    assert_eq!(world.issuer.refreshes(), 0);
}
