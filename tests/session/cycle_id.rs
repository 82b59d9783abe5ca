//! A session that changes its id takes the newest tokens along, and nobody else keeps any.


use support::{
    KEY, StoredTokens, World,
    browser::{Cookie, cookie_of, get},
    on_every_store,
    races::{
        Station::{AfterPost, BeforePost, BeforeReRead},
        at_every_gate,
    },
    settle, shown_generation,
    Op,
};
use tower_sessions::{Session, session::Id};
use tower_token_refresh::{Logout, RefreshErrorKind, TokenRefreshLayer, tower_sessions};

/// Changes the session's id from start to end, as a request that does so and responds.
async fn cycle(session: &Session) -> Id {
    session.cycle_id().await.expect("cycled");
    session.save().await.expect("saved");
    session.id().expect("a saved session has an id")
}

at_every_gate! {
    // The session is between its two records while the flight goes on.
    async fn an_id_cycled_during_a_flight_keeps_the_newest_tokens(world: World, at: Station) {
        let id = world.log_in("alice").await;
        let cycling = world.request(id).await;
        let flight = world.flight_at(at, id).await;

        let cycled = tokio::spawn({
            let cycling = cycling.clone();
            async move { cycling.cycle_id().await }
        });
        settle().await;
        let landed = flight.land().await;
        cycled.await.unwrap().unwrap();
        cycling.save().await.unwrap();

        let new = cycling.id().unwrap();
        let presented = world.issuer.refresh_requests() as u64;
        assert_eq!(world.held_by("alice").await, [(new, 1 + presented)]);
        if let Err(error) = landed {
            assert_eq!(error.kind(), RefreshErrorKind::LoggedOut, "it found no session");
            assert_eq!(presented, 0);
        }
        world.assert_logged_in(new).await;
        world.refresh(new).await;
        world.assert_logged_in(new).await;
    }

    // The whole change of id happens while the flight stands still; what it read lay under the old id.
    async fn an_id_cycled_and_saved_during_a_flight_keeps_the_newest_tokens(world: World, at: Station) {
        let id = world.log_in("alice").await;
        let cycling = world.request(id).await;
        let flight = world.flight_at(at, id).await;

        let cycled = tokio::spawn(async move { cycle(&cycling).await });
        settle().await;
        flight.land().await.expect("a flight follows the session to its new id");
        let new = cycled.await.unwrap();

        assert_eq!(world.issuer.refresh_requests(), 1);
        assert_eq!(world.held_by("alice").await, [(new, 2)]);
        world.assert_logged_in(new).await;
    }

    async fn two_ids_cycled_at_once_during_a_flight_leave_one_session(world: World, at: Station) {
        let id = world.log_in("alice").await;
        let (one, two) = (world.request(id).await, world.request(id).await);
        let flight = world.flight_at(at, id).await;

        let one = tokio::spawn(async move { cycle(&one).await });
        let two = tokio::spawn(async move { cycle(&two).await });
        settle().await;
        let _ = flight.land().await;
        let (one, two) = (one.await.unwrap(), two.await.unwrap());

        let held = world.held_by("alice").await;
        assert_eq!(held.len(), 1, "one record holds the tokens");
        let (home, generation) = held[0];
        assert!(home == one || home == two);
        assert_eq!(generation, 1 + world.issuer.refresh_requests() as u64);
        world.assert_logged_in(home).await;
    }
}

on_every_store! {
    async fn an_id_cycled_before_a_flight_is_where_it_writes(world: World) {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        let new = cycle(&world.request(id).await).await;

        world.expire();
        world.ask(&slow).await.unwrap().expect("its own snapshot still names the old id");

        assert_eq!(world.held_by("alice").await, [(new, 2)]);
        world.assert_logged_in(new).await;
    }

    async fn an_id_cycled_after_a_flight_by_a_request_from_before_takes_the_newest_tokens(world: World) {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        world.refresh(id).await;

        let new = cycle(&slow).await;

        assert_eq!(world.held_by("alice").await, [(new, 2)]);
        assert_eq!(shown_generation(&slow).await, Some(2), "its own session shows them");
        world.assert_logged_in(new).await;
    }

    // Nobody but the record that `cycle_id` deletes has the newest set.
    async fn delete_reads_the_newest_tokens_before_they_are_gone(world: World) {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        world.refresh(id).await;
        world.forget_sets().await;

        let new = cycle(&slow).await;

        assert_eq!(world.held_by("alice").await, [(new, 2)]);
        world.assert_logged_in(new).await;
    }

    // Nobody but the record under the other new id has the newest set.
    async fn a_late_cycle_takes_over_the_newest_tokens_from_the_first(world: World) {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        world.refresh(id).await;
        let first = cycle(&world.request(id).await).await;
        world.forget_sets().await;

        let second = cycle(&slow).await;

        assert_eq!(world.held_by("alice").await, [(second, 2)]);
        assert!(matches!(world.stored_tokens(first).await, StoredTokens::Tombstone { .. }));
        world.assert_logged_in(second).await;
    }

    async fn the_second_of_two_cycles_takes_over_and_ends_nothing(world: World) {
        let id = world.log_in("alice").await;
        let (one, two) = (world.request(id).await, world.request(id).await);

        let (first, second) = (cycle(&one).await, cycle(&two).await);

        assert!(matches!(world.stored_tokens(first).await, StoredTokens::Tombstone { .. }));
        assert_eq!(world.held_by("alice").await, [(second, 1)]);
        world.refresh(second).await;
        world.assert_logged_in(second).await;
    }

    // The first is a copy of the session without tokens; what else is in it may say who is logged in.
    async fn a_log_out_ends_the_records_of_both_cycles(world: World) {
        let id = world.log_in("alice").await;
        let (one, two) = (world.request(id).await, world.request(id).await);
        let (first, second) = (cycle(&one).await, cycle(&two).await);

        let leaving = world.request(second).await;
        world.refresher.log_out(&leaving, Logout::EndSession).await.expect("logged out");

        assert!(world.stored(first).await.is_none());
        assert!(world.stored(second).await.is_none());
    }

    async fn the_record_is_created_with_the_newest_tokens_in_it(world: World) {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        world.refresh(id).await;
        let saves = world.sessions.calls(Op::Save);

        let new = cycle(&slow).await;

        assert_eq!(world.stored_tokens(new).await.generation(), Some(2));
        assert_eq!(world.sessions.calls(Op::Save), saves, "not put in by a second write");
    }

    // The flight finds the old record gone; the new one is being made from a set that is old by then.
    async fn tokens_that_land_while_the_new_record_is_being_made_get_into_it(world: World) {
        let id = world.log_in("alice").await;
        let cycling = world.request(id).await;
        let flight = world.flight_at(AfterPost, id).await;
        cycling.cycle_id().await.unwrap();
        let made = world.sessions.gate_after(Op::Create);
        let save = tokio::spawn({
            let cycling = cycling.clone();
            async move { cycling.save().await }
        });
        made.reached().await;

        flight.land().await.expect("the tokens wait in memory for the record");
        made.open();
        save.await.unwrap().unwrap();

        assert_eq!(world.held_by("alice").await, [(cycling.id().unwrap(), 2)]);
        assert_eq!(shown_generation(&cycling).await, Some(2));
        world.assert_logged_in(cycling.id().unwrap()).await;
    }

    // The record is there, but this process learns of its id only when the store has answered.
    async fn a_flight_that_asks_while_the_new_record_is_being_made_presents_nothing_twice(world: World) {
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

        let error = world.ask(&slow).await.unwrap().expect_err("its record has gone");
        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
        made.open();
        save.await.unwrap().unwrap();

        world.refresh(cycling.id().unwrap()).await;
        world.assert_logged_in(cycling.id().unwrap()).await;
    }

    async fn a_flight_between_delete_and_create_presents_nothing_and_ends_nothing(world: World) {
        let id = world.log_in("alice").await;
        let cycling = world.request(id).await;
        let flight = world.flight_at(BeforeReRead, id).await;
        cycling.cycle_id().await.unwrap();

        let error = flight.land().await.expect_err("there is no record");
        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
        assert_eq!(world.issuer.refresh_requests(), 0);

        cycling.save().await.unwrap();
        world.refresher.valid_token(&cycling).await.expect("the login goes on");
        world.assert_logged_in(cycling.id().unwrap()).await;
    }

    async fn a_request_that_has_cycled_its_id_may_ask_before_it_responds(world: World) {
        let id = world.log_in("alice").await;
        let session = world.request(id).await;
        world.expire();
        session.cycle_id().await.unwrap();

        world.refresher.valid_token(&session).await.expect("a token");

        assert_eq!(world.held_by("alice").await, [(session.id().unwrap(), 2)]);
        session.save().await.unwrap();
        world.assert_logged_in(session.id().unwrap()).await;
    }

    async fn a_waiter_whose_session_has_moved_leaves_its_own_alone(world: World) {
        let id = world.log_in("alice").await;
        let cycling = world.request(id).await;
        let flight = world.flight_at(BeforePost, id).await;
        let waiting = flight.session.clone();
        let new = cycle(&cycling).await;

        flight.land().await.expect("a token");

        assert_eq!(waiting.id(), Some(id));
        assert!(!waiting.is_modified());
        assert!(waiting.get_value(KEY).await.unwrap().is_some(), "it is not emptied");
        world.assert_logged_in(new).await;
    }
}

// tower-sessions answers an emptied session with a removal cookie: the browser would lose the id it has moved to.
#[tokio::test]
async fn a_request_that_waited_while_its_session_moved_touches_no_cookie() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let app = axum::Router::new()
        .route(
            "/wait",
            axum::routing::get(|session: Session| async move {
                session.get_value(KEY).await.map(drop).unwrap()
            }),
        )
        .layer(TokenRefreshLayer::new(&world.refresher))
        .route(
            "/cycle",
            axum::routing::get(|session: Session| async move { session.cycle_id().await.unwrap() }),
        )
        .layer(world.refresher.session_layer());
    world.expire();
    let post = world.issuer.gate_before(tower_token_refresh::testing::Endpoint::Token);
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
