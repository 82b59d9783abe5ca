//! The session store fails: a user reads that it will work again soon, and the log says why.

use reqwest::Response;
use support::log::Log;

use crate::{database::Database, world::World};

async fn assert_try_again_soon(response: Response) {
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
    assert!(response.text().await.unwrap().contains("try again soon"));
}

#[tokio::test]
async fn nobody_is_logged_in_and_the_log_says_why() {
    let store = Database::new();
    let world = World::setup().setting("DATABASE_URL", store.url()).start().await;
    let browser = world.browser();
    let callback = browser.until_callback("/").await;
    store.fail().await;

    let log = Log::of_this_thread();
    assert_try_again_soon(browser.get(&callback).await).await;
    assert!(log.text().contains("no such table"), "{}", log.text());
    assert_eq!(browser.cookie("session"), None);
}

#[tokio::test]
async fn a_user_who_is_logged_in_is_not_taken_for_nobody() {
    let store = Database::new();
    let world = World::setup().setting("DATABASE_URL", store.url()).start().await;
    let browser = world.logged_in().await;
    let callback = browser.until_callback("/").await;
    store.fail().await;

    let log = Log::of_this_thread();
    assert_try_again_soon(browser.get("/").await).await;
    assert!(log.text().contains("a request failed"), "{}", log.text());
    assert_try_again_soon(browser.get(&callback).await).await;
    assert!(log.text().contains("a login or a logout failed"), "{}", log.text());
    assert_eq!(browser.api_status().await, 503);
}
