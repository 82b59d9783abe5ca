//! The pages: safe whatever a user is called, under a policy that allows their own style and script
//! and no other, and with a way on from each.

use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::to_bytes;
use base64::{Engine, prelude::BASE64_STANDARD};
use reqwest::Response;
use tower_token_refresh::testing::Endpoint;

use crate::{
    app::page::{home::logged_in, layout::escaped},
    browser::{Browser, location},
    world::{World, soon},
};

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
    for path in ["/", "/"] {
        let page = browser.get(path).await.text().await.unwrap();
        assert!(page.contains("&#60;script&#62;alert(1)") && !page.contains("<script>alert"));
        // The initial stands alone.
        assert!(page.contains(">&#60;</span>") && !page.contains("><</span>"), "{page}");
        go_down(&world);
    }
}

/// A provider that has no token for anybody any more.
fn go_down(world: &World) {
    world.clock.advance(Duration::from_secs(300));
    world.issuer.issuer().set_down(true);
}

/// The text of the one element with this tag.
fn element<'a>(page: &'a str, tag: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("<{tag}>")).unwrap_or_else(|| panic!("no {tag}"));
    let (text, rest) = rest.split_once(&format!("</{tag}>")).expect("it ends");
    assert!(!rest.contains(&format!("<{tag}")), "another {tag}");
    text
}

fn hash(text: &str) -> String {
    format!("'sha256-{}'", BASE64_STANDARD.encode(digest(&SHA256, text.as_bytes())))
}

async fn assert_guarded(response: Response, referrer: &str) {
    let headers = response.headers().clone();
    let page = response.text().await.unwrap();
    let (style, script) = (element(&page, "style"), element(&page, "script"));
    assert_eq!(
        headers["content-security-policy"].to_str().unwrap(),
        format!(
            "default-src 'none'; style-src {}; script-src {}; connect-src 'self'; \
             base-uri 'none'; frame-ancestors 'none'",
            hash(style),
            hash(script)
        )
    );
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(headers["referrer-policy"], referrer);
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    let rest = page.replace(style, "").replace(script, "");
    assert!(!rest.contains("javascript:"), "{rest}");
    for tag in tags(&rest) {
        for needs_permission in [" style=", " on", "<style ", "<script ", "<img", "<link"] {
            assert!(!tag.contains(needs_permission), "{needs_permission} in {tag}");
        }
    }
}

/// The tags, without what stands in quotes.
fn tags(page: &str) -> impl Iterator<Item = String> {
    let tags = page.split('<').skip(1).map(|tag| tag.split('>').next().unwrap_or_default());
    tags.map(|tag| format!("<{}", tag.split('"').step_by(2).collect::<String>()))
}

#[tokio::test]
async fn each_page_runs_its_own_style_and_script_and_nothing_else() {
    let world = World::new().await;
    let stranger = world.browser();
    for path in ["/", "/?logged_out", "/nowhere"] {
        assert_guarded(stranger.get(path).await, "same-origin").await;
    }
    assert_guarded(stranger.get("/auth/callback").await, "no-referrer").await;
    let browser = world.logged_in().await;
    assert_guarded(browser.get("/").await, "same-origin").await;
    go_down(&world);
    assert_guarded(browser.get("/").await, "same-origin").await;
}

/// What a browser without script shows.
async fn without_script(response: Response) -> String {
    let page = response.text().await.unwrap();
    page.replace(element(&page, "script"), "").replace(element(&page, "style"), "")
}

#[tokio::test]
async fn without_script_a_user_sees_who_is_logged_in_and_for_how_long() {
    let world = World::new().await;
    let page = without_script(world.logged_in().await.get("/").await).await;
    for part in [
        "<strong id=\"name\">alice</strong>",
        "<span id=\"seconds\">300</span> <span>seconds</span>",
        "<time id=\"expires\">",
        "<form method=\"post\" action=\"/auth/logout\"><button id=\"logout\"",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    assert!(!page.contains("id=\"calls\""), "this is not the demo");
}

#[tokio::test]
async fn the_demo_has_a_button_that_waits_for_the_script() {
    let now = SystemTime::UNIX_EPOCH;
    let page = logged_in("alice", now + Duration::from_secs(1), now, true).into_body();
    let page = String::from_utf8(to_bytes(page, usize::MAX).await.unwrap().to_vec()).unwrap();
    assert!(page.contains("<button type=\"button\" id=\"calls\" hidden>20 calls at once</button>"));
    assert!(page.contains("<span id=\"seconds\">1</span> <span>second</span>"), "{page}");
}

#[tokio::test]
async fn a_provider_that_is_down_makes_nobody_anonymous() {
    let world = World::new().await;
    let browser = world.logged_in().await;
    go_down(&world);
    let response = browser.get("/").await;
    assert_eq!(response.status(), 503);
    let after = response.headers()["retry-after"].to_str().unwrap().to_owned();
    let page = without_script(response).await;
    for part in [
        "<strong id=\"name\">alice</strong>",
        "You are still logged in",
        "The login service cannot be reached",
        &format!("You can try again in <span class=\"large\"><span id=\"retry\">{after}</span>"),
        "<a class=\"button\" href=\"/\">Try again</a>",
        "<button id=\"logout\"",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    world.issuer.issuer().set_down(false);
    assert_eq!(browser.api_status().await, 200);
}

#[tokio::test]
async fn a_user_logs_out_in_an_outage() {
    let world = World::new().await;
    let browser = world.logged_in().await;
    let session = browser.cookie("session").unwrap();
    go_down(&world);
    assert_eq!(browser.get("/").await.status(), 503);
    let response = browser.post("/auth/logout").await;
    assert_eq!(response.status(), 303);
    assert_nobody_comes_back(&browser, &session).await;
}

#[tokio::test]
async fn a_provider_that_hangs_holds_up_no_log_out() {
    let world = World::new().await;
    let browser = world.logged_in().await;
    let (session, token) = (browser.cookie("session").unwrap(), browser.access_token().await);
    let issuer = world.issuer.issuer();
    let gate = issuer.gate_before(Endpoint::Revocation);

    // Two seconds are the limit; the rest is for a machine with other things to do.
    let answer = tokio::time::timeout(Duration::from_secs(4), browser.post("/auth/logout")).await;
    assert_eq!(answer.expect("it waits for the provider").status(), 303);
    assert_nobody_comes_back(&browser, &session).await;
    assert!(issuer.is_access_token_live(&token), "the provider has done nothing so far");

    gate.open();
    let revoked = async {
        while issuer.is_access_token_live(&token) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon("the revocation goes on in the background", revoked).await;
}

async fn assert_nobody_comes_back(browser: &Browser, session: &str) {
    assert_eq!(browser.cookie("session"), None, "the cookie is removed");
    browser.set_cookie("session", session);
    assert_eq!(browser.api_status().await, 401, "and its session is gone");
}

#[tokio::test]
async fn who_comes_from_a_log_out_reads_so_and_nobody_else_does() {
    let world = World::new().await;
    let notice = "You are logged out.";
    let stranger = world.browser();
    for path in ["/?logged_out", "/?logged_out&state=1", "/?logged_out="] {
        let page = stranger.get(path).await.text().await.unwrap();
        assert!(page.contains(notice) && page.contains("Log in"), "{path}: {page}");
    }
    for path in ["/", "/?not_logged_out", "/?a=logged_out"] {
        assert!(!stranger.get(path).await.text().await.unwrap().contains(notice), "{path}");
    }
    let browser = world.logged_in().await;
    let page = browser.get("/?logged_out").await.text().await.unwrap();
    assert!(!page.contains(notice) && page.contains("alice"), "{page}");
}

#[tokio::test]
async fn a_login_that_the_provider_has_ended_is_said_to_have_ended() {
    let world = World::new().await;
    let browser = world.logged_in().await;
    world.issuer.issuer().end_session("alice");
    world.clock.advance(Duration::from_secs(300));
    let page = browser.get("/").await.text().await.unwrap();
    assert!(page.contains("Your login has ended.") && page.contains("Log in"), "{page}");
}

#[tokio::test]
async fn what_is_not_there_is_a_page_for_people_and_a_problem_for_scripts() {
    let world = World::new().await;
    for path in ["/nowhere", "/auth/nowhere", "/apis"] {
        let response = world.browser().get(path).await;
        assert_eq!(response.status(), 404, "{path}");
        let page = response.text().await.unwrap();
        assert!(page.contains("<a class=\"button\" href=\"/\">Home</a>"), "{page}");
    }
    let response = world.browser().get("/api").await;
    assert_eq!(response.status(), 404);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let problem: serde_json::Value = response.json().await.unwrap();
    assert_eq!(problem["status"], 404);
}

#[tokio::test]
async fn a_login_that_failed_may_be_tried_again() {
    let world = World::new().await;
    let response = world.browser().get("/auth/callback").await;
    assert_eq!(response.status(), 400);
    let page = response.text().await.unwrap();
    assert!(page.contains("<a class=\"button\" href=\"/auth/login\">Log in again</a>"), "{page}");

    // A provider that is down at the moment.
    let browser = world.browser();
    let callback = browser.until_callback("/").await;
    world.issuer.issuer().set_down(true);
    let response = browser.get(&callback).await;
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
    let page = response.text().await.unwrap();
    assert!(page.contains("<a class=\"button\" href=\"/\">Try again</a>"), "{page}");
}
