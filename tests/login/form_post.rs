//! The provider answers by a form (OAuth 2.0 Form Post Response Mode).

use http::Method;

use crate::{browser::location, world::World};

#[tokio::test]
async fn the_form_of_the_provider_logs_in() {
    let world = World::setup().routes(|routes| routes.form_post()).start().await;
    let browser = world.browser();
    let begun = browser.get("/auth/login?return_to=/orders").await;
    assert!(location(&begun).contains("response_mode=form_post"));
    let (path, query) = {
        let callback = browser.visit_provider(&begun).await;
        let (path, query) = callback.split_once('?').unwrap();
        (path.to_owned(), query.to_owned())
    };

    // With a form of another site browsers send no `SameSite=Lax` cookie.
    let stranger = world.browser();
    let form = "application/x-www-form-urlencoded";
    let request = stranger.request(Method::POST, &path).header("content-type", form);
    let posted = stranger.send(request.body(query)).await;
    assert_eq!(posted.status(), 303);
    assert_eq!(posted.headers()["referrer-policy"], "no-referrer");
    assert_eq!(posted.headers()["cache-control"], "no-store");

    let on = browser.path_of(&location(&posted));
    assert!(!on.contains("session_state"), "only what a callback needs: {on}");
    let done = browser.get(&on).await;
    assert_eq!(location(&done), format!("{}/orders", world.base));
    assert_eq!(browser.api_status().await, 200);
}

#[tokio::test]
async fn a_form_that_is_no_answer_leads_nowhere() {
    let world = World::setup().routes(|routes| routes.form_post()).start().await;
    let browser = world.browser();
    let too_long = format!("state=x&code={}", "a".repeat(64 * 1024));
    for form in ["", "code=x", "state=a&state=b", too_long.as_str()] {
        let request = browser.request(Method::POST, "/auth/callback").body(form.to_owned());
        assert_eq!(browser.send(request).await.status(), 400, "{} bytes", form.len());
    }
}

#[tokio::test]
async fn without_the_setting_there_is_no_such_form() {
    let world = World::new().await;
    let browser = world.browser();
    let request = browser.request(Method::POST, "/auth/callback").body("state=x&code=y");
    assert_eq!(browser.send(request).await.status(), 405);
}
