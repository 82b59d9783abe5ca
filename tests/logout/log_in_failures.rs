//! A login that fails at any step logs nobody in, and its record is ended quietly (RACES row 2).

use std::time::Duration;

use support::{Op, StoredTokens, TokenOp, World, on_every_store};
use tower_sessions::Session;
use tower_token_refresh::{RefreshErrorKind, tower_sessions};

/// Where a login can fail, in this order.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    MakeTheRecord,
    EndTheOldLogin,
    DeleteTheOldSession,
    CreateTheNewSession,
}

use Step::{CreateTheNewSession, DeleteTheOldSession, EndTheOldLogin, MakeTheRecord};

const STEPS: [Step; 4] = [MakeTheRecord, EndTheOldLogin, DeleteTheOldSession, CreateTheNewSession];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Mishap {
    Refused,
    /// The store has done it, and says that it has not.
    AnswerLost,
    Panic,
}

use Mishap::{AnswerLost, Panic, Refused};

impl Step {
    fn fails(self, world: &World, how: Mishap) {
        let of_tokens = |op| match how {
            Refused => world.tokens.fail_next(op),
            AnswerLost => world.tokens.lose_next_answer(op),
            Panic => world.tokens.panic_next(op),
        };
        let of_sessions = |op| match how {
            Refused => world.sessions.fail_next(op),
            AnswerLost => world.sessions.lose_next_answer(op),
            Panic => world.sessions.panic_next(op),
        };
        match self {
            MakeTheRecord => of_tokens(TokenOp::Create),
            EndTheOldLogin => of_tokens(TokenOp::End),
            DeleteTheOldSession => of_sessions(Op::Delete),
            CreateTheNewSession => of_sessions(Op::Create),
        }
    }
}

/// A session with a cart in it, and alice logged in to it.
async fn alices(world: &World) -> Session {
    let session = world.session_with(None, None);
    session.insert("cart", 3).await.unwrap();
    world.log_in_on(&session, "alice").await;
    session
}

// What a store refuses to end is tried again in the background, which takes its time.
#[tokio::test(start_paused = true)]
async fn nobody_is_logged_in_whatever_fails_and_the_new_record_is_ended_quietly() {
    for world in [World::on_memory(), World::on_memory_sealed(), World::on_swapping()] {
        for step in STEPS {
            for how in [Refused, AnswerLost, Panic] {
                fails_at(&world, step, how).await;
                tokio::time::sleep(Duration::from_secs(1)).await;
                assert_eq!(world.refresher.usage().unsaved, 0);
            }
        }
        assert_eq!(world.issuer.revocations(), 0);
    }
}

async fn fails_at(world: &World, step: Step, how: Mishap) {
    let session = alices(world).await;
    step.fails(world, how);

    let set = world.token_set("bob");
    let error = world.refresher.log_in(&session, set).await.expect_err("failed");

    let kind =
        if how == Panic { RefreshErrorKind::Internal } else { RefreshErrorKind::Unavailable };
    assert_eq!(error.kind(), kind, "{step:?} {how:?}");
    let error = world.refresher.valid_token(&session).await.expect_err("nobody");
    assert_eq!(error.kind(), RefreshErrorKind::NoTokens, "{step:?} {how:?}");
    // What tower-sessions does with the response, be it a redirect.
    session.save().await.unwrap();
    let saved = world.stored(session.id().unwrap()).await.expect("the session goes on");
    assert_eq!(saved.data.len(), 1, "{step:?} {how:?}");
    assert_eq!(saved.data["cart"], 3);

    assert_eq!(world.held_by("bob").await, [], "{step:?} {how:?}");
    let records = world.tokens.records().await;
    match records.last().expect("it was tried") {
        StoredTokens::NoRecord => assert_eq!(step, MakeTheRecord),
        StoredTokens::Ended { why, revoke: false, with_session: false } => {
            assert_eq!(why, "failed_login", "{step:?} {how:?}");
        }
        other => panic!("{step:?} {how:?}: {other:?}"),
    }
}

on_every_store! {
    async fn a_failed_log_in_may_be_tried_again(world: World) {
        for step in STEPS {
            let session = alices(&world).await;
            step.fails(&world, Refused);
            let set = world.token_set("bob");
            world.refresher.log_in(&session, set).await.expect_err("failed");

            world.log_in_on(&session, "bob").await;

            let id = session.id().unwrap();
            assert_eq!(world.stored_tokens(id).await.generation(), Some(1), "{step:?}");
            world.refresher.valid_token(&session).await.expect("logged in");
        }
    }

    // Only the session of the failed login loses its pointer: a token record that could not be
    // made has ended nobody.
    async fn a_record_that_cannot_be_made_ends_no_login_elsewhere(world: World) {
        let session = alices(&world).await;
        let id = session.id().unwrap();
        MakeTheRecord.fails(&world, Refused);

        let set = world.token_set("bob");
        world.refresher.log_in(&session, set).await.expect_err("failed");

        world.refresher.valid_token(&world.session(id)).await.expect("as stored");
        world.assert_logged_in(id).await;
    }
}

// A token store that refuses the end of the old login refuses that of the failed one as well: both
// are tried again in the background.
#[tokio::test(start_paused = true)]
async fn a_store_that_refuses_to_end_anything_ends_both_logins_later() {
    for world in [World::on_memory(), World::on_swapping()] {
        let session = alices(&world).await;
        let slow = world.request(session.id().unwrap()).await;
        world.tokens.refuse(TokenOp::End);

        let set = world.token_set("bob");
        let error = world.refresher.log_in(&session, set).await.expect_err("failed");

        assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
        assert_eq!(world.refresher.usage().unsaved, 2);
        let error = world.refresher.valid_token(&slow).await.expect_err("ended in this process");
        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
        world.tokens.accept(TokenOp::End);
        tokio::time::sleep(Duration::from_secs(3)).await;
        let records = world.tokens.records().await;
        let why: Vec<_> = records.iter().map(StoredTokens::ended_by).collect();
        assert_eq!(why, [Some("replaced"), Some("failed_login")]);
        assert_eq!(world.refresher.usage().unsaved, 0);
        assert_eq!(world.issuer.revocations(), 0);
    }
}

#[tokio::test]
async fn a_session_that_cannot_be_read_is_an_error_and_nothing_is_made() {
    let world = World::on_memory();
    let id = alices(&world).await.id().unwrap();
    world.sessions.fail_next(Op::Load);

    let session = world.session(id);
    let set = world.token_set("bob");
    let error = world.refresher.log_in(&session, set).await.expect_err("failed");

    assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
    assert_eq!(world.tokens.records().await.len(), 1, "alice's");
}
