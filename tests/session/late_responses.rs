//! tower-sessions saves the whole session when the response leaves. A refresh that ran meanwhile survives that.


use std::sync::Arc;

use axum::{Router, http::StatusCode, routing};
use support::{World, browser::get, on_every_store};
use tokio::sync::Barrier;
use tower_sessions::{Session, session::Id};
use tower_token_refresh::{AccessToken, TokenRefreshLayer, tower_sessions};

/// A request that has read its session, stands still during a refresh, and then answers.
async fn a_refresh_during_a_slow_request(
    world: &World,
    id: Id,
    always_save: bool,
    path: &'static str,
) {
    let door = Arc::new(Barrier::new(2));
    let slow = |change: bool, status: StatusCode| {
        let door = door.clone();
        routing::get(move |session: Session| async move {
            session.get_value(support::KEY).await.unwrap();
            door.wait().await;
            door.wait().await;
            if change {
                session.insert("cart", 3).await.unwrap();
            }
            status
        })
    };
    let app = Router::new()
        .route("/reads", slow(false, StatusCode::OK))
        .route("/changes", slow(true, StatusCode::OK))
        .route("/fails", slow(true, StatusCode::INTERNAL_SERVER_ERROR))
        .layer(world.refresher.session_layer().with_always_save(always_save));
    let request = tokio::spawn(async move { get(&app, path, Some(id)).await });
    door.wait().await;
    world.refresh(id).await;
    door.wait().await;
    request.await.unwrap();
}

on_every_store! {
    async fn a_late_response_keeps_the_newer_tokens(world: World) {
        for path in ["/reads", "/changes", "/fails"] {
            for always_save in [false, true] {
                let id = world.log_in("alice").await;
                a_refresh_during_a_slow_request(&world, id, always_save, path).await;
                assert_eq!(world.stored_tokens(id).await.generation(), Some(2), "{path}, always_save {always_save}");
                let saved = world.stored(id).await.unwrap().data.contains_key("cart");
                assert_eq!(saved, path == "/changes", "{path}: other keys are saved as ever");
                world.assert_logged_in(id).await;
            }
        }
    }

    async fn a_request_that_waited_and_then_failed_keeps_the_newer_tokens(world: World) {
        let id = world.log_in("alice").await;
        let app = Router::new()
            .route("/", routing::get(|_: AccessToken| async { StatusCode::INTERNAL_SERVER_ERROR }))
            .layer(TokenRefreshLayer::new(&world.refresher))
            .layer(world.refresher.session_layer());
        world.expire();

        let response = get(&app, "/", Some(id)).await;

        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
        world.assert_logged_in(id).await;
    }
}
