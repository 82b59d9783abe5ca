//! A refresh counts as activity: a user whose requests only read is not logged out for being idle.


use axum::{Router, http::header, routing};
use support::{
    World,
    browser::{Cookie, cookie_of, get},
    on_every_store,
    Op,
};
use time::Duration;
use tower_sessions::{Expiry, session::Id};
use tower_token_refresh::{TokenRefreshLayer, tower_sessions};

const HOUR: Duration = Duration::hours(1);

/// A session that was last written 50 minutes ago, of the 60 it may be idle.
async fn idle_for_fifty_minutes(world: &World) -> Id {
    let session = world.session_with(None, Some(Expiry::OnInactivity(HOUR)));
    world.log_in_on(&session, "alice").await;
    let mut record = world.stored(session.id().unwrap()).await.unwrap();
    record.expiry_date -= Duration::minutes(50);
    world.sessions.overwrite(&record).await;
    record.id
}

fn reading_app(world: &World, expiry: Expiry) -> Router {
    Router::new()
        .route("/read", routing::get(|| async {}))
        .layer(TokenRefreshLayer::new(&world.refresher))
        .layer(world.refresher.session_layer().with_expiry(expiry))
}

on_every_store! {
    async fn a_refresh_prolongs_the_session_of_a_user_who_only_reads(world: World) {
        let id = idle_for_fifty_minutes(&world).await;
        let before = world.stored(id).await.unwrap().expiry_date;
        world.expire();

        let session = world.session_with(Some(id), Some(Expiry::OnInactivity(HOUR)));
        world.refresher.valid_token(&session).await.expect("refreshed");

        let after = world.stored(id).await.unwrap().expiry_date;
        assert!(after - before >= Duration::minutes(50), "prolonged by {}", after - before);
        assert!(session.is_modified(), "its cookie is set again");
    }

    // The request that started the refresh may be gone by the time it lands.
    async fn the_stored_session_is_prolonged_even_if_the_request_goes_away(world: World) {
        let id = idle_for_fifty_minutes(&world).await;
        let before = world.stored(id).await.unwrap().expiry_date;
        world.expire();
        let session = world.session_with(Some(id), Some(Expiry::OnInactivity(HOUR)));
        session.get_value(support::KEY).await.unwrap();
        let flight = world.flight_of(support::races::Station::BeforePost, session).await;
        flight.waiter.abort();
        flight.land_alone().await;

        let after = world.stored(id).await.unwrap().expiry_date;
        assert!(after - before >= Duration::minutes(50), "prolonged by {}", after - before);
    }

    async fn the_browser_keeps_its_cookie_for_as_long_as_the_session(world: World) {
        let id = idle_for_fifty_minutes(&world).await;
        let app = reading_app(&world, Expiry::OnInactivity(HOUR));
        assert_eq!(cookie_of(&get(&app, "/read", Some(id)).await), Cookie::Untouched, "no refresh, no cookie");
        world.expire();

        let response = get(&app, "/read", Some(id)).await;

        assert_eq!(cookie_of(&response), Cookie::Set(id));
        assert!(response.headers()[header::SET_COOKIE].to_str().unwrap().contains("Max-Age=3600"));
        assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
        world.assert_logged_in(id).await;
    }

    async fn a_session_that_does_not_expire_on_inactivity_is_not_marked_modified(world: World) {
        let id = world.log_in("alice").await;
        let app = reading_app(&world, Expiry::OnSessionEnd);
        world.expire();

        let response = get(&app, "/read", Some(id)).await;

        assert_eq!(cookie_of(&response), Cookie::Untouched);
        assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
    }

    async fn only_the_request_that_started_the_refresh_sets_the_cookie(world: World) {
        let id = idle_for_fifty_minutes(&world).await;
        let second = world.session_with(Some(id), Some(Expiry::OnInactivity(HOUR)));
        let first = world.session_with(Some(id), Some(Expiry::OnInactivity(HOUR)));
        first.get_value(support::KEY).await.unwrap();
        second.get_value(support::KEY).await.unwrap();
        world.expire();
        let flight = world.flight_of(support::races::Station::BeforePost, first.clone()).await;
        let waiting = world.ask(&second);
        support::settle().await;

        flight.land().await.expect("a token");
        waiting.await.unwrap().expect("a token");

        assert!(first.is_modified());
        assert!(!second.is_modified());
    }
}

/// The store refused the new set, the user went on, and the set is written when its request is long over.
#[tokio::test(start_paused = true)]
async fn a_set_that_is_written_late_does_not_shorten_the_session() {
    let world = World::patient();
    let id = idle_for_fifty_minutes(&world).await;
    world.expire();
    world.sessions.refuse(Op::Save);
    let session = world.session_with(Some(id), Some(Expiry::OnInactivity(HOUR)));
    world.refresher.valid_token(&session).await.expect("served all the same");
    let mut record = world.stored(id).await.expect("a record");
    record.expiry_date += Duration::hours(3);
    world.sessions.overwrite(&record).await;

    world.sessions.accept(Op::Save);
    assert_eq!(world.refresher.shutdown(std::time::Duration::from_secs(20)).await, Ok(()));

    assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
    assert_eq!(world.stored(id).await.expect("a record").expiry_date, record.expiry_date);
}
