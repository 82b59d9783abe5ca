//! Each 401 of an API is counted once, whatever becomes of the call.

use std::{sync::Arc, time::Duration};

use http::{Request, Response, StatusCode};
use support::{World, scrape::Scrape};
use tokio::sync::Notify;
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_token_refresh::{ApiHosts, BearerLayer, LoginTokens};

/// What the API does with the call that comes after the one that it has refused.
#[derive(Clone, Copy)]
enum Then {
    Answers,
    Refuses,
    BreaksOff,
    Hangs,
}

/// A call with a token that is old enough to be refused for its age. Gives up when the API hangs.
async fn call(tokens: &LoginTokens, world: &World, then: Then) -> Result<StatusCode, BoxError> {
    world.clock.advance(Duration::from_secs(15));
    let api = ApiHosts::new(["api.example.com"]).expect("a host").clock(world.clock.clock());
    let old = tokens.token().await.expect("a token").secret().to_owned();
    let hangs = Arc::new(Notify::new());
    let hanging = hangs.clone();
    let client = service_fn(move |request: Request<()>| {
        let is_old = request.headers()["authorization"] == format!("Bearer {old}");
        let hanging = hanging.clone();
        async move {
            let mut answer = Response::new(());
            match then {
                _ if is_old => *answer.status_mut() = StatusCode::UNAUTHORIZED,
                Then::Answers => {}
                Then::Refuses => *answer.status_mut() = StatusCode::UNAUTHORIZED,
                Then::BreaksOff => return Err(BoxError::from("the connection broke")),
                Then::Hangs => {
                    hanging.notify_one();
                    std::future::pending::<()>().await;
                }
            }
            Ok(answer)
        }
    });
    let client = BearerLayer::new(tokens.clone(), &api).layer(client);
    let request = Request::get("https://api.example.com/orders").body(())?;
    tokio::select! {
        answer = client.oneshot(request) => Ok(answer?.status()),
        () = hangs.notified() => Err("its caller has gone away".into()),
    }
}

#[tokio::test]
async fn a_401_is_counted_as_well_if_the_second_sending_gets_no_answer() {
    let scrape = Scrape::of_this_thread();
    let world = World::on_swapping();
    let handle = world.refresher.adopt(world.token_set("alice")).await.expect("adopted");
    let tokens = world.refresher.tokens(&handle);
    let mut outcomes = [("healed", 0.0), ("refused_again", 0.0), ("no_answer", 0.0)];
    for (then, at) in
        [(Then::Answers, 0), (Then::Refuses, 1), (Then::BreaksOff, 2), (Then::Hangs, 2)]
    {
        let answer = call(&tokens, &world, then).await;
        assert_eq!(answer.is_err(), at == 2);
        outcomes[at].1 += 1.0;
        for (outcome, times) in outcomes {
            let counted = scrape.value("token_refresh_api_401_total", &[("outcome", outcome)]);
            assert_eq!(counted, times, "{outcome}");
        }
    }
    assert_eq!(scrape.value("token_refresh_api_401_total", &[]), 4.0);
}
