//! A refresh counts as activity: a user whose requests only read is not logged out for being idle.

use axum::{Router, http::header, routing};
use support::{
    LIFE, Op, World,
    browser::{Cookie, cookie_of, get},
    on_every_store,
    races::Station::BeforePost,
    settle,
};
use time::Duration;
use tower_sessions::{Expiry, Session, session::Id};
use tower_token_refresh::{
    Logout, RefreshErrorKind, TokenRefreshLayer, testing::Endpoint, tower_sessions,
};

const HOUR: Duration = Duration::hours(1);

/// A session that was last written 50 minutes ago, of the 60 it may be idle.
async fn idle_for_fifty_minutes(world: &World) -> Id {
    let session = world.session_with(None, Some(Expiry::OnInactivity(HOUR)));
    world.log_in_on(&session, "alice").await;
    let mut record = world.stored(session.id().expect("saved")).await.expect("stored");
    record.expiry_date -= Duration::minutes(50);
    world.sessions.overwrite(&record).await;
    record.id
}

/// A request of it that has read its session.
async fn request_of(world: &World, id: Id) -> Session {
    let session = world.session_with(Some(id), Some(Expiry::OnInactivity(HOUR)));
    session.load().await.expect("the session loads");
    session
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
        let before = world.stored(id).await.expect("stored").expiry_date;
        let app = reading_app(&world, Expiry::OnInactivity(HOUR));
        let untouched = get(&app, "/read", Some(id)).await;
        assert_eq!(cookie_of(&untouched), Cookie::Untouched, "no refresh, no cookie");
        world.expire();

        let response = get(&app, "/read", Some(id)).await;

        assert_eq!(cookie_of(&response), Cookie::Set(id));
        let cookie = response.headers()[header::SET_COOKIE].to_str().expect("ASCII");
        assert!(cookie.contains("Max-Age=3600"), "the browser keeps it for as long: {cookie}");
        let after = world.stored(id).await.expect("stored").expiry_date;
        assert!(after - before >= Duration::minutes(50), "prolonged by {}", after - before);
        assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
        world.assert_logged_in(id).await;
    }

    async fn an_early_refresh_counts_as_well(world: World) {
        let id = idle_for_fifty_minutes(&world).await;
        let before = world.stored(id).await.expect("stored").expiry_date;
        let app = reading_app(&world, Expiry::OnInactivity(HOUR));
        world.clock.advance(LIFE - std::time::Duration::from_secs(10));
        let _provider_is_slow = world.issuer.gate_before(Endpoint::Token);

        let response = get(&app, "/read", Some(id)).await;

        assert_eq!(cookie_of(&response), Cookie::Set(id));
        let after = world.stored(id).await.expect("stored").expiry_date;
        assert!(after - before >= Duration::minutes(50), "prolonged by {}", after - before);
    }

    // RACES row 12: the session store may take its time.
    async fn nobody_is_served_whose_login_ended_while_an_early_refresh_prolonged_the_session(
        world: World
    ) {
        let id = idle_for_fifty_minutes(&world).await;
        let (slow, leaving) = (request_of(&world, id).await, request_of(&world, id).await);
        world.clock.advance(LIFE - std::time::Duration::from_secs(10));
        let prolonging = world.sessions.gate_before(Op::Load);
        let asking = world.ask(&slow);
        prolonging.reached().await;

        world.refresher.log_out(&leaving, Logout::EndSession).await.expect("logged out");
        prolonging.open();

        let error = asking.await.unwrap().expect_err("ended");
        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
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
        let (first, second) = (request_of(&world, id).await, request_of(&world, id).await);
        world.expire();
        let flight = world.flight_of(BeforePost, first.clone()).await;
        let waiting = world.ask(&second);
        settle().await;

        flight.land().await.expect("a token");
        waiting.await.unwrap().expect("a token");

        assert!(first.is_modified());
        assert!(!second.is_modified());
    }

    // It was saved by another request while this one waited, and is saved again only to be
    // prolonged.
    async fn a_slow_request_does_not_save_its_old_snapshot(world: World) {
        let id = idle_for_fifty_minutes(&world).await;
        let slow = request_of(&world, id).await;
        world.expire();
        let flight = world.flight_of(BeforePost, slow.clone()).await;
        let quick = request_of(&world, id).await;
        quick.insert("basket", "3 apples").await.expect("inserted");
        quick.save().await.expect("saved");

        flight.land().await.expect("a token");
        slow.save().await.expect("saved at the end of the request");

        assert_eq!(world.stored(id).await.expect("stored").data["basket"], "3 apples");
    }

    async fn what_the_request_itself_has_changed_stays(world: World) {
        let id = idle_for_fifty_minutes(&world).await;
        let session = request_of(&world, id).await;
        session.insert("basket", "3 apples").await.expect("inserted");
        world.expire();

        world.refresher.valid_token(&session).await.expect("refreshed");
        session.save().await.expect("saved at the end of the request");

        assert_eq!(world.stored(id).await.expect("stored").data["basket"], "3 apples");
    }

    // The browser has moved on to another id, whose cookie it must not lose.
    async fn a_session_that_has_gone_meanwhile_is_left_alone(world: World) {
        let id = idle_for_fifty_minutes(&world).await;
        let slow = request_of(&world, id).await;
        world.expire();
        let flight = world.flight_of(BeforePost, slow.clone()).await;
        let quick = request_of(&world, id).await;
        quick.cycle_id().await.expect("cycled");
        quick.save().await.expect("saved");

        flight.land().await.expect("a token");

        assert!(!slow.is_modified());
        assert_eq!(world.stored(id).await, None);
        world.assert_logged_in(quick.id().expect("saved")).await;
    }

    async fn a_session_store_that_fails_costs_the_request_nothing(world: World) {
        let id = idle_for_fifty_minutes(&world).await;
        let session = request_of(&world, id).await;
        world.expire();
        world.sessions.refuse(Op::Load);

        let token = world.refresher.valid_token(&session).await.expect("served all the same");

        assert!(world.issuer.is_access_token_live(token.secret()));
        assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
    }
}

/// The request that started the refresh goes away: nobody writes the session for it.
#[tokio::test]
async fn the_session_of_a_request_that_went_away_stays_as_it_is() {
    let world = World::on_memory();
    let id = idle_for_fifty_minutes(&world).await;
    let before = world.stored(id).await;
    world.expire();
    let mut flight = world.flight_of(BeforePost, request_of(&world, id).await).await;
    flight.client_leaves().await;
    flight.land_alone().await;
    assert_eq!(world.stored(id).await, before);
    world.assert_logged_in(id).await;
}
