//! The code flow, when it goes well: in one tab, in several, with a provider that comes late.

use std::time::Duration;

use http::Response;
use tower_token_refresh::testing::Endpoint;

use crate::{browser::location, world::World};

/// The most attempts of one browser.
const MOST: usize = 8;

#[tokio::test]
async fn a_user_logs_in_and_lands_where_the_link_led() {
    let world = World::new().await;
    let browser = world.browser();
    assert_eq!(browser.api_status().await, 401);

    let response = browser.get("/auth/login?return_to=/orders%3Fpage%3D2").await;
    let asked = url::Url::parse(&location(&response)).unwrap();
    let field = |name: &str| {
        asked.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    assert_eq!(field("code_challenge_method").as_deref(), Some("S256"));
    assert_eq!(field("scope").as_deref(), Some("openid profile email"));
    assert_eq!(field("redirect_uri"), Some(format!("{}/auth/callback", world.base)));
    assert!(field("nonce").is_some_and(|nonce| nonce.len() >= 20));

    let callback = browser.visit_provider(&response).await;
    let response = browser.get(&callback).await;
    assert_eq!(response.status(), 303);
    assert_eq!(location(&response), format!("{}/orders?page=2", world.base));
    assert_eq!(browser.cookie_names(), ["session"], "the attempt's cookie is gone");

    assert_eq!(browser.get("/").await.text().await.unwrap(), "alice");
    assert_eq!(browser.api_status().await, 200);
}

/// Each login costs the browser a cookie: a page of pictures would cost more than it can send.
#[tokio::test]
async fn a_login_begins_where_a_page_is_opened_and_nowhere_else() {
    let world = World::new().await;
    let browser = world.browser();
    let asked = async |name: &str, value: &str| {
        let request = browser.request_of_anybody(reqwest::Method::GET, "/auth/login");
        browser.send(request.header(name, value)).await.status()
    };
    for mode in ["no-cors", "cors", "same-origin", "websocket"] {
        assert_eq!(asked("sec-fetch-mode", mode).await, 400, "{mode}");
    }
    assert_eq!(asked("sec-purpose", "prefetch;prerender").await, 400);
    assert_eq!(browser.cookie_names(), [""; 0]);
    assert_eq!(asked("sec-fetch-mode", "navigate").await, 303);
}

#[tokio::test]
async fn a_path_to_come_back_to_that_is_too_long_for_a_cookie_leads_home() {
    let world = World::new().await;
    for (length, lands) in [(512, true), (513, false)] {
        let path = format!("/{}", "a".repeat(length - 1));
        let browser = world.browser();
        let response = browser.get(&format!("/auth/login?return_to={path}")).await;
        let callback = browser.visit_provider(&response).await;
        let home = format!("{}/", world.base);
        let there = if lands { format!("{}{path}", world.base) } else { home };
        assert_eq!(location(&browser.get(&callback).await), there, "{length}");
    }
}

#[tokio::test]
async fn an_expired_token_is_refreshed_before_the_api_sees_it() {
    let world = World::new().await;
    let browser = world.logged_in().await;
    let first = browser.access_token().await;
    world.clock.advance(Duration::from_secs(300));
    let second = browser.access_token().await;
    assert_ne!(first, second);
    let issuer = world.issuer();
    assert!(issuer.is_access_token_live(&second));
    assert_eq!((issuer.refreshes(), issuer.max_presented()), (1, 1));
}

#[tokio::test]
async fn three_tabs_that_log_in_at_once_all_succeed() {
    let world = World::new().await;
    let browser = world.browser();
    let begin = || browser.until_callback("/");
    let (one, two, three) = tokio::join!(begin(), begin(), begin());
    assert_eq!(browser.cookie_names().len(), 3, "one attempt each");

    // The second and third come with the session of the first, whose id was new by then.
    for callback in [one, two, three] {
        assert_eq!(browser.get(&callback).await.status(), 303);
    }
    assert_eq!(browser.cookie_names(), ["session"]);
    assert_eq!(browser.api_status().await, 200);
}

#[tokio::test]
async fn three_callbacks_at_once_all_succeed() {
    let world = World::new().await;
    let browser = world.browser();
    let begin = || browser.until_callback("/");
    let (one, two, three) = tokio::join!(begin(), begin(), begin());
    let (one, two, three) = tokio::join!(browser.get(&one), browser.get(&two), browser.get(&three));
    assert_eq!([one.status(), two.status(), three.status()], [303, 303, 303]);
    assert_eq!(browser.api_status().await, 200, "the last answer's cookie counts");
}

#[tokio::test]
async fn a_login_begun_by_a_logged_in_user_replaces_the_old_one() {
    let world = World::new().await;
    let browser = world.logged_in().await;
    let old = browser.cookie("session").unwrap();
    browser.log_in().await;
    assert_ne!(browser.cookie("session").unwrap(), old, "a new id, against fixation");
    assert_eq!(browser.api_status().await, 200);
    browser.set_cookie("session", &old);
    assert_eq!(browser.api_status().await, 401);
}

#[tokio::test]
async fn only_the_newest_attempts_are_kept() {
    let world = World::new().await;
    let browser = world.browser();
    let first = browser.until_callback("/").await;
    for _ in 0..MOST {
        world.clock.advance(Duration::from_secs(1));
        browser.get("/auth/login").await;
    }
    assert_eq!(browser.cookie_names().len(), MOST);
    assert_eq!(browser.get(&first).await.status(), 400, "the oldest made room");
}

#[tokio::test]
async fn an_attempt_lasts_ten_minutes_even_if_the_browser_keeps_its_cookie() {
    let world = World::new().await;
    let browser = world.browser();
    let in_time = browser.until_callback("/").await;
    world.clock.advance(Duration::from_secs(1));
    let late = browser.until_callback("/").await;
    // The codes are older than their minute, so the provider refuses both; only one is sent to it.
    world.clock.advance(Duration::from_secs(599));
    let before = world.issuer().token_requests();
    assert_eq!(browser.get(&in_time).await.status(), 400);
    assert_eq!(
        world.issuer().token_requests(),
        before,
        "too late: nothing is sent to the provider"
    );
    assert_eq!(browser.get(&late).await.status(), 400);
    assert_eq!(world.issuer().token_requests(), before + 1, "in time: the provider decides");
}

#[tokio::test]
async fn a_provider_that_is_down_at_the_start_is_asked_again() {
    let world = World::setup().provider(|issuer| issuer.set_down(true)).start().await;
    let browser = world.browser();
    assert_eq!(browser.get("/auth/login").await.status(), 503);
    assert_eq!(browser.get("/").await.status(), 200);

    world.issuer().set_down(false);
    browser.log_in().await;
    assert_eq!(browser.api_status().await, 200);
}

#[tokio::test]
async fn an_unknown_signing_key_makes_the_keys_be_read_again() {
    let no_keys = || Response::builder().status(200).body(r#"{"keys":[]}"#.into()).unwrap();
    let world = World::setup()
        .provider(move |issuer| issuer.answer_next_at(Endpoint::Jwks, no_keys()))
        .start()
        .await;
    let browser = world.browser();
    browser.log_in().await;
    assert_eq!(browser.api_status().await, 200);
    assert_eq!(world.issuer().requests(Endpoint::Jwks), 2);
}

#[tokio::test]
async fn a_logout_while_the_provider_is_down_leads_home_and_not_there() {
    let world = World::new().await;
    let browser = world.logged_in().await;
    world.issuer().set_down(true);
    let out = browser.post("/auth/logout").await;
    assert_eq!((out.status().as_u16(), location(&out)), (303, format!("{}/", world.base)));
    assert_eq!(browser.api_status().await, 401);
}

#[tokio::test]
async fn a_logout_that_another_site_asks_for_is_refused() {
    let world = World::new().await;
    let browser = world.logged_in().await;
    let forged = browser.request_of_anybody(reqwest::Method::POST, "/auth/logout");
    let answer = browser.send(forged.header("origin", "https://evil.example")).await;
    assert_eq!(answer.status(), 403);
    assert_eq!(browser.api_status().await, 200);
}
