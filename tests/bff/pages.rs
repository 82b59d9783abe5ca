//! The pages: safe whatever a user is called, and under the strictest policy.

use crate::{app::page::escaped, browser::location, world::World};

#[test]
fn what_comes_from_outside_is_escaped() {
    assert_eq!(escaped(r#"<b a="1" c='2'>&"#), "&#60;b a=&#34;1&#34; c=&#39;2&#39;&#62;&#38;");
    assert_eq!(escaped("Ärger 1"), "Ärger 1");
}

#[tokio::test]
async fn a_users_name_is_text() {
    let world = World::new().await;
    let browser = world.browser();
    let response = browser.get("/auth/login").await;
    let url = format!("{}&login_hint=%3Cscript%3Ealert(1)%3C%2Fscript%3E", location(&response));
    let client =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let callback = browser.path_of(&location(&client.get(url).send().await.unwrap()));
    assert_eq!(browser.get(&callback).await.status(), 303);
    let home = browser.get("/").await.text().await.unwrap();
    assert!(home.contains("&#60;script&#62;alert(1)") && !home.contains("<script"), "{home}");
}

#[tokio::test]
async fn pages_work_without_script_style_or_cache() {
    let world = World::new().await;
    let browser = world.logged_in().await;
    for (path, referrer) in [("/", "same-origin"), ("/auth/callback", "no-referrer")] {
        let response = browser.get(path).await;
        let headers = response.headers().clone();
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert_eq!(policy, "default-src 'none'; base-uri 'none'; frame-ancestors 'none'");
        assert_eq!(headers["cache-control"], "no-store");
        assert_eq!(headers["referrer-policy"], referrer);
        assert_eq!(headers["content-type"], "text/html; charset=utf-8");
        let page = response.text().await.unwrap();
        for needs_permission in
            ["<script", "<style", "style=", "onclick", "onload", "<img", "<link"]
        {
            assert!(!page.contains(needs_permission), "{needs_permission} in {page}");
        }
    }
}

#[tokio::test]
async fn a_provider_that_is_down_makes_nobody_anonymous() {
    let world = World::new().await;
    let browser = world.logged_in().await;
    world.clock.advance(std::time::Duration::from_secs(300));
    world.issuer.issuer().set_down(true);
    let response = browser.get("/").await;
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
    assert!(response.text().await.unwrap().contains("try again"));
    world.issuer.issuer().set_down(false);
    assert_eq!(browser.api_status().await, 200);
}
