//! A callback that comes twice: its code is presented once.

use std::time::Duration;

use tower_token_refresh::testing::Endpoint;

use crate::{browser::Browser, world::World};

/// A second browser with the first one's cookies, as they were when it was about to call back.
fn twin(world: &World, of: &Browser) -> Browser {
    let twin = world.browser();
    for name in of.cookie_names() {
        twin.set_cookie(&name, &of.cookie(&name).unwrap());
    }
    twin
}

#[tokio::test]
async fn two_at_once_are_one_token_request_and_both_are_logged_in() {
    let world = World::new().await;
    let browser = world.browser();
    let callback = browser.until_callback("/").await;
    let twin = twin(&world, &browser);
    let gate = world.issuer().gate_before(Endpoint::Token);
    let (one, two, ()) = tokio::join!(browser.get(&callback), twin.get(&callback), async {
        gate.reached().await;
        gate.open();
    });
    assert_eq!([one.status(), two.status()], [303, 303]);
    assert_eq!(world.issuer().token_requests(), 1);
    assert_eq!([browser.api_status().await, twin.api_status().await], [200, 200]);
    assert_eq!(browser.access_token().await, twin.access_token().await, "one login");
}

#[tokio::test]
async fn what_came_of_it_is_kept_for_a_minute() {
    let world = World::new().await;
    let browser = world.browser();
    let callback = browser.until_callback("/").await;
    let (second, third) = (twin(&world, &browser), twin(&world, &browser));
    assert_eq!(browser.get(&callback).await.status(), 303);
    world.clock.advance(Duration::from_secs(59));
    assert_eq!(second.get(&callback).await.status(), 303);
    assert_eq!(world.issuer().token_requests(), 1);

    world.clock.advance(Duration::from_secs(1));
    assert_eq!(third.get(&callback).await.status(), 400, "the provider does not take it again");
    assert_eq!(world.issuer().token_requests(), 2);
}

#[tokio::test]
async fn a_refusal_is_kept_as_well() {
    let world = World::new().await;
    let browser = world.browser();
    let callback = browser.until_callback("/").await;
    let twin = twin(&world, &browser);
    let junk = callback.replace("code=code-", "code=junk-");
    assert_eq!(browser.get(&junk).await.status(), 400);
    for _ in 0..3 {
        assert_eq!(twin.get(&junk).await.status(), 400);
        twin.set_cookie(&browser_attempt(&callback), "");
    }
    assert_eq!(world.issuer().token_requests(), 1);
}

fn browser_attempt(callback: &str) -> String {
    let state = callback.split(['?', '&']).find_map(|pair| pair.strip_prefix("state="));
    format!("login-{}", state.expect("a state"))
}

#[tokio::test]
async fn after_an_outage_a_reload_succeeds() {
    let world = World::new().await;
    let browser = world.browser();
    let callback = browser.until_callback("/").await;
    world.issuer().set_down(true);
    let answer = browser.get(&callback).await;
    assert_eq!(answer.status(), 503);
    world.issuer().set_down(false);
    world.clock.advance(Duration::from_secs(30));
    assert_eq!(browser.get(&callback).await.status(), 303);
    assert_eq!(browser.api_status().await, 200);
}

#[tokio::test]
async fn a_callback_from_before_a_logout_logs_nobody_in_again() {
    let world = World::new().await;
    let browser = world.browser();
    let callback = browser.until_callback("/").await;
    let twin = twin(&world, &browser);
    assert_eq!(browser.get(&callback).await.status(), 303);
    browser.post("/auth/logout").await;
    assert_eq!(twin.get(&callback).await.status(), 400);
    assert_eq!(twin.api_status().await, 401);
    assert_eq!(world.issuer().token_requests(), 1);
}

#[tokio::test]
async fn a_browser_that_goes_away_finds_its_login_by_a_reload() {
    let world = World::new().await;
    let browser = world.browser();
    let callback = browser.until_callback("/").await;
    let gate = world.issuer().gate_after(Endpoint::Token);
    tokio::select! {
        _ = browser.get(&callback) => panic!("the provider has not answered"),
        () = gate.reached() => {}
    }
    gate.open();
    assert_eq!(browser.get(&callback).await.status(), 303);
    assert_eq!(world.issuer().token_requests(), 1);
    assert_eq!(browser.api_status().await, 200);
}

#[tokio::test]
async fn a_store_that_refuses_the_login_logs_nobody_in() {
    let world = World::new().await;
    let browser = world.browser();
    let callback = browser.until_callback("/").await;
    world.tokens.fail_next(support::TokenOp::Create);
    assert_eq!(browser.get(&callback).await.status(), 503);
    assert_eq!(browser.get("/").await.text().await.unwrap(), "nobody");
    assert_eq!(browser.cookie("session"), None);
}
