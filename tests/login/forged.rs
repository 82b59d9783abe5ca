//! Attempts that somebody else made up: the provider is asked nothing for them.

use http::Method;
use tower_token_refresh::{
    ClientAuth, TokenEndpoint, TokenRefresher, token_store::SealKeys, tower_sessions::MemoryStore,
};

use crate::{
    browser::{Browser, state_of},
    world::{World, ask},
};

async fn assert_refused_unasked(world: &World, browser: &Browser, callback: &str) {
    let before = world.issuer().token_requests();
    assert_eq!(browser.get(callback).await.status(), 400);
    assert_eq!(world.issuer().token_requests(), before, "nothing is sent to the provider");
}

#[tokio::test]
async fn an_attempt_that_was_tampered_with_is_none() {
    let world = World::new().await;
    let browser = world.browser();
    let callback = browser.until_callback("/").await;
    let name = browser.cookie_names().remove(0);
    let value = browser.cookie(&name).unwrap();
    let (began, sealed) = value.split_once('.').unwrap();
    let later = began.parse::<u64>().unwrap() + 1;
    let flipped = if sealed.ends_with('A') { "B" } else { "A" };
    for forged in [
        format!("{later}.{sealed}"),
        format!("{began}.{}{flipped}", &sealed[..sealed.len() - 1]),
        format!("{began}."),
        format!("{began}.{}", "A".repeat(60)),
        "1.nonce.verifier.Lw".to_owned(),
        String::new(),
    ] {
        browser.set_cookie(&name, &forged);
        assert_refused_unasked(&world, &browser, &callback).await;
        browser.set_cookie(&name, &value);
    }
    assert_eq!(browser.get(&callback).await.status(), 303, "the true one is good");
}

#[tokio::test]
async fn an_attempt_under_another_state_is_none() {
    let world = World::new().await;
    let browser = world.browser();
    let first = browser.until_callback("/").await;
    let name = browser.cookie_names().remove(0);
    let value = browser.cookie(&name).unwrap();
    let second = browser.until_callback("/").await;
    browser.set_cookie(&format!("login-{}", state_of(&second)), &value);
    assert_refused_unasked(&world, &browser, &second).await;
    assert_eq!(browser.get(&first).await.status(), 303);
}

#[tokio::test]
async fn an_attempt_sealed_for_another_provider_or_callback_is_none() {
    let world = World::new().await;
    let keys = || SealKeys::new([7; 32]);
    let refresher = |issuer: &str| {
        let auth = ClientAuth::basic("web", "secret");
        let endpoint = TokenEndpoint::new(format!("{issuer}/token"), auth)
            .issuer(issuer)
            .authorization_url(format!("{issuer}/authorize"));
        TokenRefresher::builder(endpoint, MemoryStore::default()).build().expect("settings")
    };
    let app = |issuer: &str, callback: &str| {
        let refresher = refresher(issuer);
        let routes = refresher.login_routes("http://127.0.0.1:1").callback_path(callback);
        let routes = routes.attempt_keys(keys()).build().expect("settings");
        crate::world::app(&refresher, routes)
    };
    let one = app("http://127.0.0.1:2/one", "/callback");
    let begun = ask(&one, "/login", "").await;
    assert_eq!(begun.status(), 303);
    let cookie = begun.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap();
    // A state may have a hyphen itself.
    let state = cookie.strip_prefix("login-").unwrap().split('=').next().unwrap();
    let answer = |path: &str| format!("{path}?state={state}&error=access_denied");
    for (app, path) in [
        (app("http://127.0.0.1:2/two", "/callback"), "/callback"),
        (app("http://127.0.0.1:2/one", "/elsewhere"), "/elsewhere"),
    ] {
        let status = ask(&app, &answer(path), cookie).await.status();
        assert_eq!(status, 400, "{path}");
    }
    // Another process of the same application has the same keys.
    let again = app("http://127.0.0.1:2/one", "/callback");
    let status = ask(&again, &answer("/callback"), cookie).await.status();
    assert_eq!(status, 403, "it is found, and the provider has said no");
    drop(world);
}

#[tokio::test]
async fn head_begins_nothing_and_redeems_nothing() {
    let world = World::new().await;
    let browser = world.browser();
    let begun = browser.send(browser.request(Method::HEAD, "/auth/login")).await;
    assert_eq!(begun.status(), 405);
    assert_eq!(browser.cookie_names(), [""; 0]);
    let callback = browser.until_callback("/").await;
    let head = browser.send(browser.request(Method::HEAD, &callback)).await;
    assert_eq!((head.status().as_u16(), world.issuer().token_requests()), (405, 0));
    assert_eq!(browser.get(&callback).await.status(), 303);
}

#[tokio::test]
async fn a_cookie_of_somebody_else_that_is_no_ascii_is_in_nobodys_way() {
    let world = World::new().await;
    let browser = world.browser();
    let response = browser.get("/auth/login").await;
    let callback = browser.visit_provider(&response).await;
    let name = browser.cookie_names().remove(0);
    let attempt = format!("{name}={}", browser.cookie(&name).unwrap());
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build();
    let cookies = [b"theme=\xc3\xa9; ", attempt.as_bytes()].concat();
    let request = client.unwrap().get(format!("{}{callback}", world.base));
    let answer = request.header("cookie", cookies).send().await.unwrap();
    assert_eq!(answer.status(), 303);
}

#[tokio::test]
async fn the_cookies_of_the_attempts_stay_small() {
    let world = World::new().await;
    let browser = world.browser();
    let long = format!("/{}", "a".repeat(1000));
    for _ in 0..6 {
        world.clock.advance(std::time::Duration::from_secs(1));
        browser.get(&format!("/auth/login?return_to={long}")).await;
        let names = browser.cookie_names();
        let bytes: usize =
            names.iter().map(|name| name.len() + browser.cookie(name).unwrap().len()).sum();
        assert!(bytes <= 4096, "{bytes} bytes in {} cookies", names.len());
    }
    assert!(browser.cookie_names().len() >= 2, "the newest are kept");
}

#[tokio::test]
async fn an_attempt_of_a_process_whose_clock_is_ahead_is_good() {
    for (ahead, status) in [(59, 303), (61, 400)] {
        let world = World::new().await;
        let browser = world.browser();
        world.clock.jump_wall(ahead);
        let callback = browser.until_callback("/").await;
        world.clock.jump_wall(-ahead);
        assert_eq!(browser.get(&callback).await.status(), status, "{ahead} s");
    }
}

#[tokio::test]
async fn what_is_far_too_long_for_a_code_is_refused_here() {
    let world = World::new().await;
    let browser = world.browser();
    let callback = browser.until_callback("/").await;
    let long = callback.replace("code=code-", &format!("code={}", "a".repeat(4097)));
    assert_refused_unasked(&world, &browser, &long).await;
    assert_eq!(browser.get(&callback).await.status(), 303, "the attempt is still good");
}

#[tokio::test]
async fn a_login_does_not_lead_back_to_the_login() {
    let world = World::new().await;
    let browser = world.browser();
    let callback = browser.until_callback("/auth/login%3Fprompt%3Dnone").await;
    let to = crate::browser::location(&browser.get(&callback).await);
    assert_eq!(to, format!("{}/", world.base));
}
