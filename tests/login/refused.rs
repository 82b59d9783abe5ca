//! Logins that must not succeed: somebody else's, a second time, with an ID token that proves
//! nothing.

use reqwest::Response;
use tower_token_refresh::testing::StrictIssuer;

use crate::{
    browser::{Browser, state_of},
    world::World,
};

/// Gives the page, after looking at what every refusal has in common.
async fn refused(browser: &Browser, response: Response, status: u16) -> String {
    assert_eq!(response.status(), status);
    assert!(
        response.headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .starts_with("default-src 'none'")
    );
    assert_eq!(browser.api_status().await, 401, "nobody is logged in");
    response.text().await.unwrap()
}

#[tokio::test]
async fn a_callback_with_a_state_of_another_browser_is_refused() {
    let world = World::new().await;
    let (attacker, victim) = (world.browser(), world.browser());
    let callback = attacker.until_callback("/").await;
    let before = world.issuer().token_requests();
    let page = refused(&victim, victim.get(&callback).await, 400).await;
    assert!(page.contains("not started in this browser"));
    assert_eq!(world.issuer().token_requests(), before, "the code was not presented");

    // Nor if the victim has an attempt of its own.
    victim.get("/auth/login").await;
    refused(&victim, victim.get(&callback).await, 400).await;
}

#[tokio::test]
async fn a_callback_is_good_once() {
    let world = World::new().await;
    let browser = world.browser();
    let callback = browser.until_callback("/").await;
    assert_eq!(browser.get(&callback).await.status(), 303);
    assert_eq!(browser.get(&callback).await.status(), 400);
    assert_eq!(world.issuer().token_requests(), 1, "the code was presented once");
    assert_eq!(browser.api_status().await, 200, "the login stands");
}

#[tokio::test]
async fn what_is_no_callback_is_refused() {
    let world = World::new().await;
    let browser = world.browser();
    let callback = browser.until_callback("/").await;
    let state = state_of(&callback).to_owned();
    for query in [
        "",
        "?",
        "?code=x",
        "?state=",
        "?state=%00%0d%0a&code=x",
        "?state=a;b=c&code=x",
        "?state=x&state=y",
        "?state=%ff",
    ] {
        let response = browser.get(&format!("/auth/callback{query}")).await;
        refused(&browser, response, 400).await;
    }
    refused(&browser, browser.get(&format!("/auth/callback?state={state}")).await, 400).await;
    assert_eq!(browser.get(&callback).await.status(), 400, "used up");
    assert_eq!(world.issuer().token_requests(), 0);
}

#[tokio::test]
async fn the_providers_refusal_is_a_page_without_its_words() {
    for (code, status) in [
        ("access_denied", 403),
        ("login_required", 403),
        ("temporarily_unavailable", 503),
        ("server_error", 503),
        ("invalid_scope", 500),
        ("%3Cscript%3E", 500),
    ] {
        let world = World::new().await;
        let browser = world.browser();
        let callback = browser.until_callback("/").await;
        let state = state_of(&callback);
        let answer = {
            let iss = world.issuer.issuer_url();
            format!(
                "/auth/callback?error={code}&error_description=%3Cb%3Efree+text&state={state}&iss={iss}"
            )
        };
        let page = refused(&browser, browser.get(&answer).await, status).await;
        assert!(!page.contains("free text") && !page.contains("<script>"), "{page}");
        refused(&browser, browser.get(&callback).await, 400).await;
    }
}

#[tokio::test]
async fn an_answer_of_another_issuer_is_refused() {
    let world = World::new().await;
    let browser = world.browser();
    let callback = browser.until_callback("/").await;
    let (before, _) = callback.split_once("&iss=").expect("the provider names itself");
    let response = browser.get(&format!("{before}&iss=https%3A%2F%2Felsewhere.example")).await;
    refused(&browser, response, 400).await;
    assert_eq!(world.issuer().token_requests(), 0);
}

/// Logs in while the provider's answer carries this ID token.
async fn with_id_token(make: impl FnOnce(&World) -> Option<String>) -> (u16, u16) {
    let world = World::new().await;
    let browser = world.browser();
    let callback = browser.until_callback("/").await;
    let other = make(&world);
    world.issuer().edit_next(move |answer| match other {
        Some(id_token) => answer["id_token"] = id_token.into(),
        None => drop(answer.as_object_mut().unwrap().remove("id_token")),
    });
    let status = browser.get(&callback).await.status().as_u16();
    (status, browser.api_status().await)
}

fn id_token_of(issuer: &StrictIssuer) -> Option<String> {
    Some(issuer.log_in("alice")["id_token"].as_str()?.to_owned())
}

#[tokio::test]
async fn an_id_token_that_proves_nothing_logs_nobody_in() {
    let refused = (502, 401);
    assert_eq!(with_id_token(|_| None).await, refused, "none at all");
    assert_eq!(
        with_id_token(|world| id_token_of(world.issuer())).await,
        refused,
        "without the nonce"
    );
    let other_client = |world: &World| {
        let url = world.issuer.issuer_url();
        let other = StrictIssuer::builder()
            .clock(world.clock.clock())
            .issuer_url(&url)
            .client("other", "x");
        id_token_of(&other.build())
    };
    assert_eq!(with_id_token(other_client).await, refused, "for another client");
    let other_issuer =
        |world: &World| id_token_of(&StrictIssuer::builder().clock(world.clock.clock()).build());
    assert_eq!(with_id_token(other_issuer).await, refused, "of another issuer");
}

#[tokio::test]
async fn an_id_token_with_a_wrong_signature_or_of_yesterday_logs_nobody_in() {
    let world = World::new().await;
    let browser = world.browser();
    let callback = browser.until_callback("/").await;
    world.issuer().edit_next(|answer| {
        let id_token = answer["id_token"].as_str().unwrap();
        let (signed, signature) = id_token.rsplit_once('.').unwrap();
        let other = if signature.starts_with('A') { "B" } else { "A" };
        answer["id_token"] = format!("{signed}.{other}{}", &signature[1..]).into();
    });
    refused(&browser, browser.get(&callback).await, 502).await;

    let callback = browser.until_callback("/").await;
    let clock = world.clock.clone();
    world.issuer().edit_next(move |_| clock.advance(std::time::Duration::from_secs(361)));
    refused(&browser, browser.get(&callback).await, 502).await;
}

#[tokio::test]
async fn a_provider_that_fails_at_the_exchange_is_no_login() {
    let world = World::new().await;
    let browser = world.browser();
    let issuer = world.issuer();
    let begin = || browser.until_callback("/");

    let callback = begin().await;
    issuer.fail_next_oauth(401, "unauthorized_client");
    refused(&browser, browser.get(&callback).await, 500).await;
    let callback = begin().await;
    issuer.malformed_next();
    refused(&browser, browser.get(&callback).await, 502).await;
    let callback = begin().await;
    issuer.drop_answer_next();
    refused(&browser, browser.get(&callback).await, 503).await;
}
