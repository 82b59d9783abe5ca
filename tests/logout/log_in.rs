//! A login takes the place of what the session held, and is there once it has been reported.

use axum::{Router, http::StatusCode, routing};
use support::{
    Gate, Op, StoredTokens, TokenOp, World, at_every_gate,
    browser::{cookie_of, get},
    on_every_store, shown_pointer,
};
use tokio::{select, task::JoinHandle};
use tower_sessions::{Session, session::Id};
use tower_token_refresh::{RefreshError, RefreshErrorKind, tower_sessions};

/// Logs bob in, in a task of its own.
fn log_in(world: &World, session: &Session) -> JoinHandle<Result<(), RefreshError>> {
    let (refresher, session, set) =
        (world.refresher.clone(), session.clone(), world.token_set("bob"));
    tokio::spawn(async move { refresher.log_in(&session, set).await })
}

/// A session that alice is logged in to, as a request has it; its id; and her login.
async fn alices(world: &World) -> (Session, Id, String) {
    let id = world.log_in("alice").await;
    (world.request(id).await, id, world.pointer(id).await.unwrap())
}

at_every_gate! {
    // RACES row 10. On some providers a revocation would end the new login as well.
    async fn a_flight_of_the_old_login_drops_what_it_brings(world: World, at: Station) {
        let (session, id, grant) = alices(&world).await;
        let slow = world.request(id).await;
        let mut flight = world.flight_at(at, id).await;

        world.log_in_on(&session, "bob").await;
        let error = flight.answer_meanwhile().await.expect_err("the old login has ended");
        flight.land_alone().await;
        slow.insert("cart", 3).await.unwrap();
        slow.save().await.unwrap();

        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
        let new = session.id().unwrap();
        assert_eq!(world.held_by("bob").await, [(new, 1)]);
        assert_eq!(world.held_by("alice").await, []);
        assert_eq!(world.tokens_of(&grant).await.ended_by(), Some("replaced"));
        assert_eq!(world.issuer.revocations(), 0);
        world.assert_logged_in(new).await;
        let error = world.refresher.valid_token(&slow).await.expect_err("it has ended");
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
        assert_eq!(world.stored(before).await, None);
        assert_eq!(world.stored(after).await.unwrap().data["cart"], 3);
        assert_eq!(world.held_by("alice").await, [(after, 1)]);
    }

    async fn a_new_log_in_on_the_same_session_takes_the_place_of_the_old_one(world: World) {
        let (session, before, grant) = alices(&world).await;

        world.log_in_on(&session, "bob").await;

        let new = session.id().unwrap();
        assert_ne!(new, before);
        assert_eq!(world.tokens_of(&grant).await, StoredTokens::Ended {
            why: "replaced".into(), revoke: false, with_session: false,
        });
        assert_eq!(world.held_by("bob").await, [(new, 1)]);
        assert_eq!(world.issuer.revocations(), 0);
        world.refresh(new).await;
        world.assert_logged_in(new).await;
    }

    // RACES row 2: a crash at any point leaves alice or bob logged in, or nobody; never a pointer
    // that leads nowhere.
    async fn first_the_record_then_the_end_of_the_old_login_then_the_session(world: World) {
        let (session, before, grant) = alices(&world).await;
        let (created, ended) =
            (world.tokens.gate_after(TokenOp::Create), world.tokens.gate_after(TokenOp::End));
        let (deleting, creating) =
            (world.sessions.gate_before(Op::Delete), world.sessions.gate_before(Op::Create));
        let logging_in = log_in(&world, &session);

        created.reached().await;
        assert!(world.tokens.records().await.iter().all(StoredTokens::is_live), "both");
        assert_eq!(world.pointer(before).await.as_deref(), Some(&*grant));
        created.open();
        ended.reached().await;
        assert_eq!(world.tokens_of(&grant).await.ended_by(), Some("replaced"));
        assert_eq!(world.pointer(before).await.as_deref(), Some(&*grant));
        ended.open();
        deleting.reached().await;
        deleting.open();
        creating.reached().await;
        assert_eq!(world.stored(before).await, None);
        creating.open();

        logging_in.await.unwrap().expect("logged in");
        assert_eq!(world.held_by("bob").await, [(session.id().unwrap(), 1)]);
    }

    // Another request has moved the old login; this one holds the session from before.
    async fn log_in_ends_the_old_login_wherever_it_lives_now(world: World) {
        let (session, id, _) = alices(&world).await;
        let cycling = world.request(id).await;
        cycling.cycle_id().await.unwrap();
        cycling.save().await.unwrap();
        let moved = cycling.id().unwrap();

        world.log_in_on(&session, "bob").await;

        for refresher in [world.refresher.clone(), world.restarted()] {
            let session = support::variants::session_at(&refresher, moved);
            let error = refresher.valid_token(&session).await.expect_err("replaced");
            assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
        }
        world.assert_logged_in(session.id().unwrap()).await;
    }

    async fn an_id_cycled_from_before_log_in_points_to_a_login_that_has_ended(world: World) {
        let (session, id, _) = alices(&world).await;
        let slow = world.request(id).await;
        world.log_in_on(&session, "bob").await;

        slow.cycle_id().await.unwrap();
        slow.save().await.unwrap();

        let error = world.refresher.valid_token(&slow).await.expect_err("replaced");
        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
        assert_eq!(world.held_by("alice").await, []);
        world.assert_logged_in(session.id().unwrap()).await;
    }

    // RACES row 21. The tab is closed at any step.
    async fn log_in_goes_on_when_its_caller_goes_away(world: World) {
        let gates: [&dyn Fn() -> Gate; 8] = [
            &|| world.tokens.gate_before(TokenOp::Create),
            &|| world.tokens.gate_after(TokenOp::Create),
            &|| world.tokens.gate_before(TokenOp::End),
            &|| world.tokens.gate_after(TokenOp::End),
            &|| world.sessions.gate_before(Op::Delete),
            &|| world.sessions.gate_after(Op::Delete),
            &|| world.sessions.gate_before(Op::Create),
            &|| world.sessions.gate_after(Op::Create),
        ];
        for (step, gate) in gates.into_iter().enumerate() {
            let (session, _, grant) = alices(&world).await;
            let gate = gate();
            let logging_in = log_in(&world, &session);
            gate.reached().await;
            logging_in.abort();
            assert!(logging_in.await.unwrap_err().is_cancelled());

            gate.open();
            // It lasts until nothing is under way any more.
            support::settle().await;

            assert!(world.tokens_of(&grant).await.is_ended(), "step {step}");
            let id = session.id().expect("it was saved");
            assert_eq!(world.stored_tokens(id).await.generation(), Some(1), "step {step}");
            assert!(shown_pointer(&session).await.is_some(), "step {step}");
            world.refresher.valid_token(&world.session(id)).await.expect("logged in");
        }
    }

    async fn a_crash_at_any_step_leaves_no_pointer_that_leads_nowhere(world: World) {
        let (session, before, grant) = alices(&world).await;
        let made = world.tokens.gate_after(TokenOp::Create);
        let ended = world.tokens.gate_after(TokenOp::End);
        let creating = world.sessions.gate_before(Op::Create);
        let logging_in = log_in(&world, &session);
        for (step, next) in [&made, &ended].into_iter().enumerate() {
            select! {
                () = next.reached() => {}
                () = ended.reached(), if step == 0 => panic!("the old login ends before the new has a record"),
                () = creating.reached() => panic!("the session points to a login before it has a record"),
            }
            // What a process finds that is started now.
            assert_eq!(world.pointer(before).await.as_deref(), Some(&*grant));
            assert_ne!(world.tokens_of(&grant).await, StoredTokens::NoRecord);
            next.open();
        }
        creating.reached().await;
        assert_eq!(world.sessions.records().await, [], "nobody is logged in");
        creating.open();
        logging_in.await.unwrap().expect("logged in");
    }
}

fn callback(world: &World, status: StatusCode) -> Router {
    let (refresher, set) = (world.refresher.clone(), world.token_set("bob"));
    let log_in = move |session: Session| async move {
        let logged_in = refresher.log_in(&session, set).await;
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
    if let support::browser::Cookie::Set(id) = cookie_of(&response) {
        let session = world.session(id);
        let error = world.refresher.valid_token(&session).await.expect_err("nobody is logged in");
        assert_eq!(error.kind(), RefreshErrorKind::NoTokens);
    }
}

// What lies under our key may be anybody's: it is no login to end, and no reason to refuse one.
#[tokio::test]
async fn what_is_no_pointer_gives_way_to_a_log_in() {
    let world = World::on_memory();
    let session = world.session_with(None, None);
    session.insert(support::KEY, 5).await.unwrap();
    session.save().await.unwrap();

    world.log_in_on(&session, "alice").await;

    assert_eq!(world.held_by("alice").await, [(session.id().unwrap(), 1)]);
    assert_eq!(world.tokens.calls(TokenOp::End), 0);
}
