//! tower-sessions saves the whole session when the response leaves. A refresh that ran meanwhile
//! survives that, and so does what others have saved.

use std::sync::Arc;

use axum::{Router, http::StatusCode, routing};
use serde_json::json;
use support::{World, browser::get, on_every_store, races::Station::BeforePost};
use time::Duration;
use tokio::sync::Barrier;
use tower_sessions::{Expiry, Session, session::Id};
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
                let generation = world.stored_tokens(id).await.generation();
                assert_eq!(generation, Some(2), "{path}, always_save {always_save}");
                let saved = world.stored(id).await.unwrap().data.contains_key("cart");
                assert_eq!(saved, path == "/changes", "{path}: other keys are saved as ever");
                world.assert_logged_in(id).await;
            }
        }
    }

    async fn a_request_that_waited_and_then_failed_keeps_the_newer_tokens(world: World) {
        let id = world.log_in("alice").await;
        let fails = |_: AccessToken| async { StatusCode::INTERNAL_SERVER_ERROR };
        let app = Router::new()
            .route("/", routing::get(fails))
            .layer(TokenRefreshLayer::new(&world.refresher))
            .layer(world.refresher.session_layer());
        world.expire();

        let response = get(&app, "/", Some(id)).await;

        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
        world.assert_logged_in(id).await;
    }

    // RACES row 23: the refresh makes the session of the request that started it count as used, so
    // its response saves it.
    async fn a_request_that_started_a_refresh_saves_no_old_snapshot_over_newer_data(world: World) {
        let hour = Some(Expiry::OnInactivity(Duration::hours(1)));
        let session = world.session_with(None, hour);
        world.log_in_on(&session, "alice").await;
        let id = session.id().unwrap();
        let slow = world.session_with(Some(id), hour);
        slow.get_value("cart").await.unwrap();
        world.expire();
        let flight = world.flight_of(BeforePost, slow.clone()).await;
        let other = world.request(id).await;
        other.insert("cart", 3).await.unwrap();
        other.save().await.unwrap();

        flight.land().await.expect("refreshed");
        assert!(slow.is_modified(), "its expiry and its cookie slide");
        slow.save().await.unwrap();

        assert_eq!(world.stored(id).await.unwrap().data["cart"], json!(3));
        assert_eq!(world.held_by("alice").await, [(id, 2)]);
    }
}
