//! A login ends and the token store does not take that: it has ended in this process and at the
//! provider all the same, and the store is asked again until it takes it, so that no restart brings
//! the login back.

use std::time::Duration;

use support::{Op, StoredTokens, TokenOp, World, races::Station, settle, variants::session_at};
use tower_sessions::session::Id;
use tower_token_refresh::{
    Logout::{self, EndSession, KeepSession},
    RefreshErrorKind,
    testing::Endpoint,
    tower_sessions,
};

const LONG: Duration = Duration::from_secs(20);

fn worlds() -> [World; 2] {
    [World::on_memory(), World::on_swapping()]
}

/// A logout whose end the token store refuses; gives the login.
async fn refused_log_out(world: &World, how: Logout) -> (Id, String) {
    let id = world.log_in("alice").await;
    let grant = world.pointer(id).await.unwrap();
    world.tokens.refuse(TokenOp::End);
    let error = world.refresher.log_out(&world.session(id), how).await.expect_err("refused");
    assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
    assert!(world.tokens_of(&grant).await.is_live());
    (id, grant)
}

#[tokio::test(start_paused = true)]
async fn the_tokens_are_revoked_the_waiters_told_and_the_session_ended_all_the_same() {
    for world in worlds() {
        let id = world.log_in("alice").await;
        let (leaving, slow) = (world.request(id).await, world.request(id).await);
        let mut flight = world.flight_at(Station::AfterPost, id).await;
        world.tokens.refuse(TokenOp::End);

        let error = world.refresher.log_out(&leaving, EndSession).await.expect_err("refused");

        assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
        let told = flight.answer_meanwhile().await.expect_err("logged out");
        assert_eq!(told.kind(), RefreshErrorKind::LoggedOut);
        assert_eq!(world.issuer.revocations(), 1);
        assert_eq!(world.stored(id).await, None);
        let error = world.refresher.valid_token(&slow).await.expect_err("logged out");
        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
        flight.land_alone().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_is_stored_in_the_background() {
    for how in [EndSession, KeepSession] {
        for world in worlds() {
            let (id, grant) = refused_log_out(&world, how).await;
            tokio::time::sleep(Duration::from_secs(300)).await;
            assert!(world.tokens_of(&grant).await.is_live(), "refused all along");
            assert_eq!(world.refresher.usage().unsaved, 1);
            world.tokens.accept(TokenOp::End);

            tokio::time::sleep(Duration::from_secs(2)).await;

            let with_session = how == EndSession;
            let ended = StoredTokens::Ended { why: "logout".into(), revoke: true, with_session };
            assert_eq!(world.tokens_of(&grant).await, ended);
            assert_eq!(world.refresher.usage().unsaved, 0);
            let restarted = world.restarted();
            let session = session_at(&restarted, id);
            let error = restarted.valid_token(&session).await.expect_err("logged out");
            assert_eq!(error.kind(), RefreshErrorKind::NoTokens, "{how:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_ending_whose_answer_got_lost_is_known_by_the_next_attempt() {
    for world in worlds() {
        let id = world.log_in("alice").await;
        let grant = world.pointer(id).await.unwrap();
        world.tokens.lose_next_answer(TokenOp::End);
        let error = world.refresher.log_out(&world.session(id), EndSession).await.unwrap_err();
        assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
        assert_eq!(world.tokens_of(&grant).await.ended_by(), Some("logout"));
        world.assert_dead_at_the_provider();

        tokio::time::sleep(Duration::from_secs(1)).await;

        assert_eq!(world.refresher.usage().unsaved, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_asks_the_store_once_more() {
    for world in worlds() {
        let (_, grant) = refused_log_out(&world, EndSession).await;
        world.tokens.accept(TokenOp::End);
        assert_eq!(world.refresher.shutdown(LONG).await, Ok(()));
        assert!(world.tokens_of(&grant).await.is_ended());
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_refuses_to_the_end_is_asked_once_and_holds_no_shutdown_up() {
    for world in worlds() {
        refused_log_out(&world, EndSession).await;
        let before = world.tokens.calls(TokenOp::End);
        let shutdown = world.refresher.shutdown(LONG);
        let down = tokio::time::timeout(Duration::from_secs(1), shutdown).await;
        let error = down.expect("at once").expect_err("the store lacks the ending");
        assert!(error.to_string().contains("the ending of 1 logins"), "{error}");
        assert_eq!(world.tokens.calls(TokenOp::End) - before, 1);
    }
}

// However often the user tries again meanwhile.
#[tokio::test(start_paused = true)]
async fn one_task_asks_for_each_login() {
    for world in worlds() {
        let id = world.log_in("alice").await;
        let mut requests = Vec::new();
        for _ in 0..5 {
            requests.push(world.request(id).await);
        }
        world.tokens.refuse(TokenOp::End);
        for request in requests {
            world.refresher.log_out(&request, KeepSession).await.expect_err("refused");
        }
        tokio::time::sleep(Duration::from_secs(30)).await;
        let before = world.tokens.calls(TokenOp::End);
        tokio::time::sleep(Duration::from_secs(100)).await;
        let calls = world.tokens.calls(TokenOp::End) - before;
        assert!((49..=51).contains(&calls), "every two seconds: {calls}");
    }
}

// The mark in this process would be forgotten before the store has taken the end.
#[tokio::test(start_paused = true)]
async fn this_process_knows_of_the_end_for_as_long_as_the_store_does_not() {
    for world in worlds() {
        let (id, other) = (world.log_in("alice").await, world.log_in("somebody else").await);
        let slow = world.request(id).await;
        world.tokens.refuse(TokenOp::End);
        let leaving = world.session(id);
        world.refresher.log_out(&leaving, EndSession).await.expect_err("refused");
        for _ in 0..3 {
            world.clock.advance(Duration::from_secs(601));
            world.refresh(other).await;
            let third = world.session(world.log_in("a third").await);
            world.refresher.log_out(&third, KeepSession).await.expect_err("refused as well");
        }
        let error = world.refresher.valid_token(&slow).await.expect_err("logged out");
        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_is_asked_again() {
    for how in [EndSession, KeepSession] {
        for world in worlds() {
            let id = world.log_in("alice").await;
            let grant = world.pointer(id).await.unwrap();
            world.tokens.panic_next(TokenOp::End);
            world.tokens.panic_next(TokenOp::End);

            let leaving = world.session(id);
            let error = world.refresher.log_out(&leaving, how).await.expect_err("it panics");

            assert_eq!(error.kind(), RefreshErrorKind::Internal);
            world.assert_dead_at_the_provider();
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(world.tokens_of(&grant).await.ended_by(), Some("logout"), "{how:?}");
        }
    }
}

// It fails at the end of a refresh, so the next request tries again.
#[tokio::test(start_paused = true)]
async fn an_expired_login_whose_end_is_refused_ends_with_the_next_attempt() {
    for world in worlds() {
        let id = world.log_in("alice").await;
        let grant = world.pointer(id).await.unwrap();
        world.issuer.end_session("alice");
        world.expire();
        world.tokens.refuse(TokenOp::End);
        let error = world.refresher.valid_token(&world.session(id)).await.expect_err("no token");
        assert_eq!(error.kind(), RefreshErrorKind::Unavailable, "another process may be faster");
        world.tokens.accept(TokenOp::End);
        world.clock.advance(Duration::from_secs(120));
        tokio::time::sleep(Duration::from_secs(120)).await;

        let error = world.refresher.valid_token(&world.session(id)).await.expect_err("refused");

        assert_eq!(error.kind(), RefreshErrorKind::SessionExpired);
        assert_eq!(world.tokens_of(&grant).await.ended_by(), Some("expired"));
    }
}

// RACES row 15: the end is written, and not the set.
#[tokio::test(start_paused = true)]
async fn what_a_flight_brings_while_the_end_is_refused_is_revoked_in_the_end() {
    for refuses_sets_too in [false, true] {
        for world in worlds() {
            let id = world.log_in("alice").await;
            let grant = world.pointer(id).await.unwrap();
            let leaving = world.request(id).await;
            let mut flight = world.flight_at(Station::AfterPost, id).await;
            world.tokens.refuse(TokenOp::End);
            if refuses_sets_too {
                world.tokens.refuse(TokenOp::Put);
            }
            // The provider is down at that moment: only what comes later can be revoked.
            world.issuer.fail_next_at(Endpoint::Revocation, 503, "");
            world.refresher.log_out(&leaving, EndSession).await.expect_err("refused");
            flight.answer_meanwhile().await.expect_err("logged out");
            flight.land_alone().await;
            assert!(!world.tokens_of(&grant).await.is_ended());

            world.tokens.refuse_writes(false);
            tokio::time::sleep(Duration::from_secs(3)).await;
            settle().await;

            assert_eq!(world.tokens_of(&grant).await.ended_by(), Some("logout"));
            assert_eq!(world.refresher.usage().unsaved, 0);
            world.assert_dead_at_the_provider();
        }
    }
}

// RACES row 20. A write that takes longer than anybody waits for it still holds the record.
#[tokio::test(start_paused = true)]
async fn a_write_that_nobody_waits_for_any_more_does_not_land_on_top_of_the_end() {
    let sessions = support::ScriptedSessions::new(tower_sessions::MemoryStore::default())
        .scripting_token_records();
    let tokens = tower_token_refresh::token_store::InSessions::new(sessions.clone());
    let tokens = support::ScriptedTokens::new(tokens);
    let world = World::over(sessions, tokens, |builder| builder);
    let id = world.log_in("alice").await;
    let grant = world.pointer(id).await.unwrap();
    let leaving = world.request(id).await;
    let flight = world.flight_at(Station::BeforePut, id).await;
    let hung = world.sessions.gate_before(Op::Save);
    flight.open();
    hung.reached().await;
    // Longer than a call of the token store may take.
    tokio::time::sleep(Duration::from_secs(11)).await;
    let leaving = world.log_out(&leaving, EndSession);
    // Not until nothing moves any more: the write that hangs does not count as that.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!leaving.is_finished());
    hung.open();

    leaving.await.unwrap().expect("it waited for the write that was under way");
    tokio::time::sleep(Duration::from_secs(5)).await;

    assert_eq!(world.tokens_of(&grant).await.ended_by(), Some("logout"));
    assert_eq!(world.refresher.usage().unsaved, 0);
    world.assert_dead_at_the_provider();
}
