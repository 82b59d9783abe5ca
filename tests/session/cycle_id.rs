//! A session that changes its id takes its pointer along, and every session that has the pointer
//! has the newest tokens.

use axum::{Router, routing};
use support::{
    KEY, Op, World, at_every_gate,
    browser::{Cookie, cookie_of, get},
    on_every_store,
    races::Station::BeforePost,
};
use tower_sessions::{Session, session::Id};
use tower_token_refresh::{TokenRefreshLayer, testing::Endpoint, tower_sessions};

/// Changes the session's id from start to end, as a request that does so and responds.
async fn cycle(session: &Session) -> Id {
    session.cycle_id().await.expect("cycled");
    session.save().await.expect("saved");
    session.id().expect("a saved session has an id")
}

at_every_gate! {
    // The session is between its two records while the flight lands.
    async fn an_id_cycled_around_a_flight_keeps_the_newest_tokens(world: World, at: Station) {
        let id = world.log_in("alice").await;
        let cycling = world.request(id).await;
        let flight = world.flight_at(at, id).await;

        cycling.cycle_id().await.unwrap();
        flight.land().await.expect("a flight needs no session");
        cycling.save().await.unwrap();

        let new = cycling.id().unwrap();
        assert_eq!(world.stored(id).await, None);
        assert_eq!(world.held_by("alice").await, [(new, 2)]);
        world.refresh(new).await;
        world.assert_logged_in(new).await;
    }

    async fn an_id_cycled_and_saved_during_a_flight_keeps_its_tokens(world: World, at: Station) {
        let id = world.log_in("alice").await;
        let cycling = world.request(id).await;
        let flight = world.flight_at(at, id).await;

        let new = cycle(&cycling).await;
        flight.land().await.expect("refreshed");

        assert_eq!(world.issuer.refresh_requests(), 1);
        assert_eq!(world.held_by("alice").await, [(new, 2)]);
        world.assert_logged_in(new).await;
    }

    async fn two_ids_cycled_during_a_flight_point_to_the_same_tokens(world: World, at: Station) {
        let id = world.log_in("alice").await;
        let (one, two) = (world.request(id).await, world.request(id).await);
        let flight = world.flight_at(at, id).await;

        let (one, two) = (cycle(&one).await, cycle(&two).await);
        flight.land().await.expect("refreshed");

        assert_ne!(one, two);
        assert_eq!(world.held_by("alice").await, [(one, 2), (two, 2)]);
        let by_one = world.refresher.valid_token(&world.session(one)).await.unwrap();
        let by_two = world.refresher.valid_token(&world.session(two)).await.unwrap();
        assert_eq!(by_one.secret(), by_two.secret());
        world.assert_logged_in(one).await;
    }
}

on_every_store! {
    async fn an_id_cycled_before_a_flight_shows_what_it_brings(world: World) {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        let new = cycle(&world.request(id).await).await;

        world.expire();
        let token = world.refresher.valid_token(&slow).await.expect("by its old id");

        assert_eq!(world.held_by("alice").await, [(new, 2)]);
        let same = world.refresher.valid_token(&world.session(new)).await.unwrap();
        assert_eq!(same.secret(), token.secret());
        world.assert_logged_in(new).await;
    }

    async fn an_id_cycled_late_by_a_request_from_before_has_the_newest_tokens(world: World) {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        let token = world.refresh(id).await;

        let new = cycle(&slow).await;

        assert_eq!(world.held_by("alice").await, [(new, 2)]);
        let same = world.refresher.valid_token(&slow).await.unwrap();
        assert_eq!(same.secret(), token.secret());
        world.assert_logged_in(new).await;
    }

    // Nobody but the token record has the newest set.
    async fn a_late_cycle_finds_the_newest_tokens_that_this_process_forgot(world: World) {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        world.refresh(id).await;
        let first = cycle(&world.request(id).await).await;
        world.forget_tokens().await;

        let second = cycle(&slow).await;

        for id in [first, second] {
            world.refresher.valid_token(&world.session(id)).await.expect("logged in");
        }
        assert_eq!(world.issuer.refresh_requests(), 2, "one each time the token had expired");
        world.assert_logged_in(second).await;
    }

    async fn a_flight_while_the_new_record_is_being_made_is_none_of_its_business(world: World) {
        let id = world.log_in("alice").await;
        let (cycling, slow) = (world.request(id).await, world.request(id).await);
        world.expire();
        cycling.cycle_id().await.unwrap();
        let made = world.sessions.gate_after(Op::Create);
        let save = tokio::spawn({
            let cycling = cycling.clone();
            async move { cycling.save().await }
        });
        made.reached().await;

        world.refresher.valid_token(&slow).await.expect("refreshed");
        made.open();
        save.await.unwrap().unwrap();

        assert_eq!(world.held_by("alice").await, [(cycling.id().unwrap(), 2)]);
        world.assert_logged_in(cycling.id().unwrap()).await;
    }

    async fn a_request_that_waited_while_its_session_moved_is_left_as_it_is(world: World) {
        let id = world.log_in("alice").await;
        let cycling = world.request(id).await;
        let flight = world.flight_at(BeforePost, id).await;
        let waiting = flight.session.clone();
        let new = cycle(&cycling).await;

        flight.land().await.expect("refreshed");

        assert_eq!(waiting.id(), Some(id));
        assert!(!waiting.is_modified());
        assert!(waiting.get_value(KEY).await.unwrap().is_some(), "it is not emptied");
        world.assert_logged_in(new).await;
    }
}

// tower-sessions answers an emptied session with a removal cookie: the browser would lose the id
// that it has moved to.
#[tokio::test]
async fn a_request_that_waited_while_its_session_moved_touches_no_cookie() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let read = |session: Session| async move { session.get_value(KEY).await.map(drop).unwrap() };
    let cycle = |session: Session| async move { session.cycle_id().await.unwrap() };
    let app = Router::new()
        .route("/wait", routing::get(read))
        .layer(TokenRefreshLayer::new(&world.refresher))
        .route("/cycle", routing::get(cycle))
        .layer(world.refresher.session_layer());
    world.expire();
    let post = world.issuer.gate_before(Endpoint::Token);
    let waiting = tokio::spawn({
        let app = app.clone();
        async move { get(&app, "/wait", Some(id)).await }
    });
    post.reached().await;

    let cycled = cookie_of(&get(&app, "/cycle", Some(id)).await);
    let Cookie::Set(new) = cycled else { panic!("a new id, not {cycled:?}") };
    post.open();
    let response = waiting.await.unwrap();

    assert_eq!(response.status(), 200);
    assert_eq!(cookie_of(&response), Cookie::Untouched);
    assert_eq!(world.held_by("alice").await, [(new, 2)]);
    world.assert_logged_in(new).await;
}
