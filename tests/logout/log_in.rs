//! A log in takes the place of what the session held, and is there once it has been reported.


use axum::{Router, http::StatusCode, routing};
use support::{
    KEY, StoredTokens, World,
    browser::{Cookie, cookie_of, get},
    on_every_store,
    races::{Station::AfterPost, at_every_gate},
    settle, shown_generation,
    Op,
};
use tower_sessions::Session;
use tower_token_refresh::{RefreshError, RefreshErrorKind, TokenSet, tower_sessions};

fn new_set(world: &World) -> TokenSet {
    TokenSet::from_response(world.issuer.log_in("bob")).expect("a token set")
}

at_every_gate! {
    // On some providers a revocation would end the new login as well.
    async fn a_log_in_during_a_flight_of_the_old_login_drops_what_that_brings(world: World, at: Station) {
        let id = world.log_in("alice").await;
        let session = world.request(id).await;
        let slow = world.request(id).await;
        let flight = world.flight_at(at, id).await;

        let logged_in = tokio::spawn({
            let (refresher, session, set) = (world.refresher.clone(), session.clone(), new_set(&world));
            async move { refresher.log_in(&session, set).await }
        });
        settle().await;
        let error = flight.land().await.expect_err("the old login has ended");
        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
        logged_in.await.unwrap().expect("logged in");
        slow.insert("cart", 3).await.unwrap();
        slow.save().await.unwrap();

        let new = session.id().unwrap();
        assert_eq!(world.held_by("alice").await, []);
        assert_eq!(world.held_by("bob").await, [(new, 1)]);
        assert_eq!(world.issuer.revocations(), 0);
        world.assert_logged_in(new).await;
        let error = world.refresher.valid_token(&slow).await.expect_err("no token of the old login");
        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
    }
}

on_every_store! {
    async fn log_in_changes_the_session_id_and_keeps_what_is_in_the_session(world: World) {
        let session = world.session_with(None, None);
        session.insert("cart", 3).await.unwrap();
        session.save().await.unwrap();
        let before = session.id().unwrap();

        world.log_in_on(&session, "alice").await;

        let after = session.id().unwrap();
        assert_ne!(after, before, "whoever knew the id before knows nothing now");
        assert_eq!(world.stored_tokens(before).await, StoredTokens::NoRecord);
        assert_eq!(world.stored(after).await.unwrap().data["cart"], 3);
        assert_eq!(world.held_by("alice").await, [(after, 1)]);
    }

    async fn a_new_log_in_on_the_same_session_takes_the_place_of_the_old_one(world: World) {
        let session = world.session_with(None, None);
        world.log_in_on(&session, "alice").await;
        let before = session.id().unwrap();

        world.log_in_on(&session, "bob").await;

        assert_ne!(session.id(), Some(before));
        assert_eq!(world.held_by("alice").await, []);
        assert_eq!(world.held_by("bob").await, [(session.id().unwrap(), 1)]);
        assert_eq!(world.issuer.revocations(), 0);
        world.refresh(session.id().unwrap()).await;
        world.assert_logged_in(session.id().unwrap()).await;
    }

    // Another request has moved the old login; this one holds the session from before.
    async fn log_in_ends_the_old_login_where_it_lives_now(world: World) {
        let id = world.log_in("alice").await;
        let session = world.request(id).await;
        let cycling = world.request(id).await;
        cycling.cycle_id().await.unwrap();
        cycling.save().await.unwrap();
        let moved = cycling.id().unwrap();

        world.log_in_on(&session, "bob").await;

        assert!(matches!(world.stored_tokens(moved).await, StoredTokens::Tombstone { .. }));
        let mut world = world;
        world.refresher = world.restarted();
        let error = world.refresher.valid_token(&world.session(moved)).await.expect_err("even after a restart");
        assert_eq!(error.kind(), RefreshErrorKind::NoTokens);
        world.assert_logged_in(session.id().unwrap()).await;
    }

    async fn log_in_while_the_old_login_is_moving_leaves_none_of_its_tokens(world: World) {
        let id = world.log_in("alice").await;
        let (session, cycling) = (world.request(id).await, world.request(id).await);
        cycling.cycle_id().await.unwrap();
        let made = world.sessions.gate_after(Op::Create);
        let save = tokio::spawn({
            let cycling = cycling.clone();
            async move { cycling.save().await }
        });
        made.reached().await;

        world.log_in_on(&session, "bob").await;
        made.open();
        save.await.unwrap().unwrap();

        assert_eq!(world.held_by("alice").await, []);
        assert_eq!(world.held_by("bob").await, [(session.id().unwrap(), 1)]);
    }

    async fn a_cycle_from_before_log_in_carries_no_tokens_of_the_old_login(world: World) {
        let id = world.log_in("alice").await;
        let (session, slow) = (world.request(id).await, world.request(id).await);
        world.log_in_on(&session, "bob").await;

        slow.cycle_id().await.unwrap();
        slow.save().await.unwrap();

        assert_eq!(world.stored_tokens(slow.id().unwrap()).await, StoredTokens::NoEntry);
        assert_eq!(world.held_by("alice").await, []);
        world.assert_logged_in(session.id().unwrap()).await;
    }

    async fn a_log_in_that_the_store_refuses_logs_nobody_in(world: World) {
        for op in [Op::Create, Op::Delete] {
            let session = world.session_with(None, None);
            session.insert("cart", 3).await.unwrap();
            session.save().await.unwrap();
            world.sessions.fail_next(op);

            let error = world.refresher.log_in(&session, new_set(&world)).await.expect_err("refused");
            assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
            // What tower-sessions does with the response, be it a redirect.
            session.save().await.unwrap();

            assert_eq!(world.held_by("bob").await, [], "{op:?}");
            let saved = world.stored(session.id().unwrap()).await.expect("the session itself is saved");
            assert_eq!(saved.data["cart"], 3);
            let error = world.refresher.valid_token(&session).await.expect_err("nobody is logged in");
            assert_eq!(error.kind(), RefreshErrorKind::NoTokens);
        }
    }

    async fn a_failed_log_in_may_be_tried_again(world: World) {
        let session = world.session_with(None, None);
        world.sessions.fail_next(Op::Create);
        world.refresher.log_in(&session, new_set(&world)).await.expect_err("refused");

        world.refresher.log_in(&session, new_set(&world)).await.expect("logged in");

        assert_eq!(world.held_by("bob").await, [(session.id().unwrap(), 1)]);
        assert_eq!(shown_generation(&session).await, Some(1));
    }

    async fn log_in_goes_on_when_its_caller_goes_away(world: World) {
        let session = world.session_with(None, None);
        let creating = world.sessions.gate_before(Op::Create);
        let logging_in = tokio::spawn({
            let (refresher, session, set) = (world.refresher.clone(), session.clone(), new_set(&world));
            async move { refresher.log_in(&session, set).await }
        });
        creating.reached().await;
        logging_in.abort();
        assert!(logging_in.await.unwrap_err().is_cancelled());

        creating.open();
        // Its task holds the session until it is done.
        assert!(session.get_value(KEY).await.unwrap().is_some());

        assert_eq!(world.held_by("bob").await, [(session.id().unwrap(), 1)]);
    }
}

fn callback(world: &World, status: StatusCode) -> Router {
    let (refresher, set) = (world.refresher.clone(), new_set(world));
    let log_in = move |session: Session| async move {
        let logged_in: Result<(), RefreshError> = refresher.log_in(&session, set).await;
        let answer = session.id().map(|id| id.to_string()).unwrap_or_default();
        (logged_in.map_or(StatusCode::SEE_OTHER, |()| status), answer)
    };
    Router::new().route("/callback", routing::get(log_in)).layer(world.refresher.session_layer())
}

#[tokio::test]
async fn a_login_is_stored_even_if_the_answer_is_a_500() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let app = callback(&world, StatusCode::INTERNAL_SERVER_ERROR);

    let response = get(&app, "/callback", Some(id)).await;

    let new = axum::body::to_bytes(response.into_body(), 100).await.unwrap();
    let new = std::str::from_utf8(&new).unwrap().parse().unwrap();
    assert_eq!(world.held_by("bob").await, [(new, 1)]);
    assert_eq!(world.held_by("alice").await, []);
    world.assert_logged_in(new).await;
}

#[tokio::test]
async fn the_redirect_after_a_failed_log_in_logs_nobody_in() {
    let world = World::on_memory();
    world.sessions.fail_next(Op::Create);
    let app = callback(&world, StatusCode::OK);

    let response = get(&app, "/callback", None).await;

    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    assert_eq!(world.held_by("bob").await, []);
    if let Cookie::Set(id) = cookie_of(&response) {
        let error =
            world.refresher.valid_token(&world.session(id)).await.expect_err("nobody is logged in");
        assert_eq!(error.kind(), RefreshErrorKind::NoTokens);
    }
}

// The same grant must not come back by a flight that a log in was too late to stop.
#[tokio::test]
async fn an_old_flight_that_lands_after_log_in_leaves_a_tombstone_where_the_old_login_lived() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let cycling = world.request(id).await;
    let session = world.request(id).await;
    cycling.cycle_id().await.unwrap();
    cycling.save().await.unwrap();
    let moved = cycling.id().unwrap();
    let flight = world.flight_at(AfterPost, moved).await;

    world.log_in_on(&session, "bob").await;
    flight.land().await.expect_err("replaced");

    assert!(matches!(world.stored_tokens(moved).await, StoredTokens::Tombstone { .. }));
    assert_eq!(world.issuer.revocations(), 0);
}
