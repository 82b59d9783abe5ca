//! A callback that comes twice: its code is presented once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;
use tower_token_refresh::{LoginRoutes, UserInfo, VerifiedLogin, testing::Endpoint};

use crate::{
    browser::{Browser, state_of},
    world::World,
};

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
        twin.set_cookie(&format!("login-{}", state_of(&callback)), "");
    }
    assert_eq!(world.issuer().token_requests(), 1);
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

#[tokio::test]
async fn a_code_that_was_used_is_not_presented_again_by_a_reload() {
    let world = World::new().await;
    let browser = world.browser();
    let callback = browser.until_callback("/").await;
    let twin = twin(&world, &browser);
    // The provider gives the tokens, and then its keys cannot be had.
    world.issuer().fail_next_at(Endpoint::Jwks, 503, "");
    assert_eq!(browser.get(&callback).await.status(), 503);
    assert_eq!(browser.cookie_names(), [""; 0], "the attempt is over");
    assert_eq!(browser.get(&callback).await.status(), 400);
    assert_eq!(twin.get(&callback).await.status(), 503, "what came of it");
    assert_eq!(world.issuer().token_requests(), 1);
}

/// Says yes to the first login that it is asked about, and no to all others.
fn once(routes: LoginRoutes, asked: Arc<AtomicUsize>) -> LoginRoutes {
    routes.on_login(move |_: VerifiedLogin| {
        let is_first = asked.fetch_add(1, Ordering::SeqCst) == 0;
        async move { if is_first { Ok(()) } else { Err(axum::http::StatusCode::CONFLICT) } }
    })
}

#[tokio::test]
async fn a_refusal_to_one_of_two_leaves_the_other_its_login() {
    let asked = Arc::<AtomicUsize>::default();
    let world = World::setup().routes(move |routes| once(routes, asked)).start().await;
    let browser = world.browser();
    let callback = browser.until_callback("/").await;
    let twin = twin(&world, &browser);
    assert_eq!(browser.get(&callback).await.status(), 303);
    assert_eq!(twin.get(&callback).await.status(), 409);
    assert_eq!([browser.api_status().await, twin.api_status().await], [200, 401]);
}

#[tokio::test]
async fn an_old_callback_takes_the_place_of_no_newer_login() {
    let asked = Arc::<AtomicUsize>::default();
    let count = asked.clone();
    let world = World::setup().routes(move |routes| once(routes, count)).start().await;
    let browser = world.browser();
    let callback = browser.until_callback("/").await;
    let old = twin(&world, &browser);
    assert_eq!(browser.get(&callback).await.status(), 303);
    // Its login ends, and the browser logs in anew.
    browser.post("/auth/logout").await;
    asked.store(0, Ordering::SeqCst);
    browser.log_in().await;
    old.set_cookie("session", &browser.cookie("session").unwrap());
    assert_eq!(old.get(&callback).await.status(), 400);
    assert_eq!(browser.api_status().await, 200);
    assert_eq!(asked.load(Ordering::SeqCst), 1, "nobody is asked about a login that has ended");
}

#[tokio::test]
async fn a_logout_at_the_provider_while_the_login_is_made_ends_it() {
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (its_begun, its_go_on) = (begun.clone(), go_on.clone());
    let ask = move |tokens: tower_token_refresh::TokenSet| {
        let (begun, go_on) = (its_begun.clone(), its_go_on.clone());
        async move {
            begun.notify_one();
            go_on.notified().await;
            let id_token = support::tab::claims_of(tokens.id_token().expect("an ID token"));
            Ok(UserInfo::new(id_token["sub"].as_str().expect("a subject")))
        }
    };
    let world = World::setup().routes(|routes| routes.user_info(ask)).start().await;
    let browser = world.browser();
    let callback = browser.until_callback("/").await;
    let logged_out = async {
        begun.notified().await;
        let token = world.issuer().logout_token(Some("alice"), None);
        world.refresher.end_by_logout_token(&token).await.expect("taken");
        go_on.notify_one();
    };
    let (answer, ()) = tokio::join!(browser.get(&callback), logged_out);
    assert_eq!(answer.status(), 400);
    assert_eq!(browser.api_status().await, 401);
}
