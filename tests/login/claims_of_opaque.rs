//! `Claims` where the access token has none.

use axum::{Router, routing::get};
use support::log::Log;
use tower_token_refresh::{Claims, TokenRefreshLayer};

use crate::world::{World, ask};

#[tokio::test]
async fn the_log_says_once_what_to_use_and_an_optional_one_is_none() {
    let world = World::setup().builder(|builder| builder.opaque_access_tokens(true)).start().await;
    let browser = world.logged_in().await;
    let app = Router::new()
        .route("/optional", get(async |claims: Option<Claims>| claims.is_some().to_string()))
        .route("/required", get(async |_: Claims| ""))
        .layer(TokenRefreshLayer::new(&world.refresher).lazy())
        .layer(world.refresher.session_layer().with_name("session").with_secure(false));
    let cookie = format!("session={}", browser.cookie("session").unwrap());
    let get = async |path: &str| ask(&app, path, &cookie).await;

    let log = Log::of_this_thread();
    for _ in 0..2 {
        let answer = get("/optional").await;
        assert_eq!(answer.status(), 200);
        let body = axum::body::to_bytes(answer.into_body(), 100).await.unwrap();
        assert_eq!(&body[..], b"false");
        assert_eq!(get("/required").await.status(), 500);
    }
    let text = log.text();
    assert_eq!(text.matches("use `Identity`").count(), 1, "{text}");
    assert_eq!(text.matches("ERROR").count(), 1, "{text}");
}
