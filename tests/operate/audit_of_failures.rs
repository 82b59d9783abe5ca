//! What began or ended while a store failed is one line and one count as well.

use std::time::Duration;

use support::{
    Op, ScriptedSessions, ScriptedTokens, TokenOp, World, log::Log, settle, shown_pointer,
    variants::session_at,
};
use tower_sessions::{MemoryStore, Session, session::Id};
use tower_token_refresh::{Logout, RefreshErrorKind, testing::MemoryTokens, tower_sessions};

/// By then an ending has been tried again.
const LATER: Duration = Duration::from_secs(3);

/// Alice has logged in.
async fn alice_on(world: &World) -> (Id, Session) {
    let id = world.log_in("alice").await;
    (id, world.request(id).await)
}

fn worlds() -> [World; 2] {
    [World::on_memory(), World::on_swapping()]
}

/// The one line after the login, which names its user.
fn assert_one_end(log: &Log, world: &World, event: &str) {
    let (issuer, subject) = (world.issuer.issuer_url(), world.issuer.subject_of("alice"));
    let lines = log.audit();
    let events: Vec<_> = lines.iter().map(|line| &*line.event).collect();
    assert_eq!(events, ["login", event]);
    assert_eq!(lines[1].user, Some(world.refresher.audit_hash(&issuer, &subject)));
    assert_eq!(world.refresher.stats().logins_ended, 1);
}

#[tokio::test(start_paused = true)]
async fn a_logout_whose_answer_got_lost_is_one_line() {
    for world in worlds() {
        let log = Log::of_this_thread();
        let (_, session) = alice_on(&world).await;
        world.tokens.lose_next_answer(TokenOp::End);
        let out = world.refresher.log_out(&session, Logout::KeepSession).await;
        assert_eq!(out.expect_err("no answer").kind(), RefreshErrorKind::Unavailable);
        tokio::time::sleep(LATER).await;
        assert_one_end(&log, &world, "logout");
    }
}

/// The user has pressed the button again, and the store has taken the second one.
#[tokio::test(start_paused = true)]
async fn several_logouts_whose_answers_got_lost_are_one_line() {
    for world in worlds() {
        let log = Log::of_this_thread();
        let (id, session) = alice_on(&world).await;
        let again = world.request(id).await;
        world.tokens.fail_next(TokenOp::End);
        assert!(world.refresher.log_out(&session, Logout::EndSession).await.is_err());
        world.tokens.lose_next_answer(TokenOp::End);
        assert!(world.refresher.log_out(&again, Logout::EndSession).await.is_err());
        tokio::time::sleep(LATER).await;
        assert_one_end(&log, &world, "logout");
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_that_another_process_was_faster_with_is_that_ones_line() {
    for world in worlds() {
        let log = Log::of_this_thread();
        let (id, session) = alice_on(&world).await;
        let tokens = world.tokens.another_way();
        let other = world.restarted_with(|builder| builder.token_store(tokens));
        let beside = session_at(&other, id);
        assert!(shown_pointer(&beside).await.is_some(), "it is loaded");
        world.tokens.refuse(TokenOp::End);
        assert!(world.refresher.log_out(&session, Logout::KeepSession).await.is_err());
        other.log_out(&beside, Logout::KeepSession).await.expect("logged out");
        world.tokens.accept(TokenOp::End);
        tokio::time::sleep(LATER).await;
        assert_eq!(log.audit_events(), ["login", "logout"]);
        assert_eq!((world.refresher.stats().logins_ended, other.stats().logins_ended), (0, 1));
    }
}

#[tokio::test]
async fn a_refused_refresh_token_whose_end_got_no_answer_is_one_line() {
    for world in worlds() {
        let log = Log::of_this_thread();
        let (id, _) = alice_on(&world).await;
        world.issuer.end_session("alice");
        world.expire();
        world.tokens.lose_next_answer(TokenOp::End);
        let error = world.refresher.valid_token(&world.session(id)).await.expect_err("no answer");
        assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
        assert_eq!(log.audit_events(), ["login"], "nobody knows yet");
        for _ in 0..3 {
            let session = world.session(id);
            let error = world.refresher.valid_token(&session).await.expect_err("over");
            assert_eq!(error.kind(), RefreshErrorKind::SessionExpired);
        }
        assert_one_end(&log, &world, "refused");
    }
}

/// The store tells of the ending before its answer is given up.
#[tokio::test]
async fn nor_is_its_line_lost_where_the_store_tells_of_it_first() {
    let sessions = ScriptedSessions::new(MemoryStore::default());
    let tokens = ScriptedTokens::new(MemoryTokens::new().telling());
    let world = World::over(sessions, tokens, |builder| builder);
    let log = Log::of_this_thread();
    let (id, _) = alice_on(&world).await;
    settle().await;
    world.issuer.end_session("alice");
    world.expire();
    let answering = world.tokens.gate_after(TokenOp::End);
    world.tokens.lose_next_answer(TokenOp::End);
    let asked = world.ask(&world.session(id));
    answering.reached().await;
    settle().await;
    answering.open();
    asked.await.unwrap().expect_err("over");
    settle().await;
    assert_one_end(&log, &world, "refused");
}

/// As where the login routes could not give it to its session.
#[tokio::test(start_paused = true)]
async fn a_login_that_its_session_cannot_take_has_begun_and_failed() {
    for world in worlds() {
        let log = Log::of_this_thread();
        world.sessions.fail_next(Op::Create);
        let session = world.session_with(None, None);
        let error = world.refresher.log_in(&session, world.token_set("alice")).await;
        assert_eq!(error.expect_err("failed").kind(), RefreshErrorKind::Unavailable);
        assert_one_end(&log, &world, "failed_login");
        assert_eq!(world.refresher.stats().logins, 1);
    }
}
