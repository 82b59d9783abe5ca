//! How our cookies are set, and how they are removed.

use crate::{browser::set_cookies, world::World};

fn attributes(line: &str) -> Vec<&str> {
    let mut attributes: Vec<_> = line.split("; ").skip(1).collect();
    attributes.sort_unstable();
    attributes
}

#[tokio::test]
async fn over_https_cookies_are_bound_to_the_host() {
    let world = World::setup().https().start().await;
    let browser = world.browser();
    let begun = set_cookies(&browser.get("/auth/login").await);
    assert!(begun[0].starts_with("__Host-login-"));
    assert_eq!(
        attributes(&begun[0]),
        ["HttpOnly", "Max-Age=600", "Path=/", "SameSite=Lax", "Secure"]
    );

    let callback = browser.until_callback("/").await;
    let done = set_cookies(&browser.get(&callback).await);
    let session = done.iter().find(|line| line.starts_with("__Host-session=")).expect("a session");
    assert_eq!(attributes(session), ["HttpOnly", "Path=/", "SameSite=Lax", "Secure"]);
    assert_eq!(browser.api_status().await, 200);
}

#[tokio::test]
async fn over_http_cookies_need_no_tls() {
    let world = World::new().await;
    let browser = world.browser();
    let callback = browser.until_callback("/").await;
    let done = set_cookies(&browser.get(&callback).await);
    let session = done.iter().find(|line| line.starts_with("session=")).expect("a session");
    assert_eq!(attributes(session), ["HttpOnly", "Path=/", "SameSite=Lax"]);
}

#[tokio::test]
async fn over_https_the_session_cookie_can_be_removed() {
    let world = World::setup().https().start().await;
    let browser = world.logged_in().await;
    assert!(browser.cookie("__Host-session").is_some());
    let response = browser.post("/auth/logout").await;
    let removal = set_cookies(&response).pop().expect("a removal");
    assert!(attributes(&removal).contains(&"Secure"), "{removal}");
    assert_eq!(browser.cookie("__Host-session"), None, "the browser took the removal");
}

#[tokio::test]
async fn whoever_only_looks_gets_no_cookie() {
    let world = World::new().await;
    let browser = world.browser();
    for path in ["/", "/healthz", "/api/orders", "/auth/callback?state=x&code=y", "/nowhere"] {
        let response = browser.get(path).await;
        let lines: Vec<_> =
            set_cookies(&response).into_iter().filter(|line| !line.contains("Max-Age=0")).collect();
        assert_eq!(lines, [""; 0], "{path}");
    }
}

#[tokio::test]
async fn a_cookie_of_another_spelling_is_not_the_session() {
    let world = World::setup().https().start().await;
    let alice = world.logged_in().await;
    let mallory = world.logged_in().await.cookie("__Host-session").unwrap();
    let token = alice.access_token().await;
    // A sibling domain can plant this one, and it is sent first: `%` sorts before `_`.
    alice.set_cookie("%5F_Host-session", &mallory);
    assert_eq!(alice.access_token().await, token);
    alice.set_cookie("%5F_Host-session", "junk");
    assert_eq!(alice.access_token().await, token);
    alice.set_cookie("name", "Jürgen");
    assert_eq!(alice.access_token().await, token);

    let only_planted = world.browser();
    only_planted.set_cookie("%5F_Host-session", &mallory);
    assert_eq!(only_planted.api_status().await, 401);
}
