//! The provider ends a login that is just being made.

use std::time::Duration;

use serde_json::Value;
use support::{Gate, StoredTokens, TokenOp, settle};
use tokio::task::JoinHandle;
use tower_sessions::Session;
use tower_token_refresh::{RefreshError, RefreshErrorKind, TokenSet, tower_sessions};

use super::world::{Told, on_each_store, sid_of};

fn log_in(told: &Told, tokens: Value) -> (Session, JoinHandle<Result<(), RefreshError>>) {
    let session = told.session_with(None, None);
    let set = TokenSet::from_response(tokens).expect("a token set");
    let (refresher, to) = (told.refresher.clone(), session.clone());
    (session, tokio::spawn(async move { refresher.log_in(&to, set).await }))
}

/// The login is being made up to `gate` when its provider ends it.
async fn ends_under_way(told: &Told, tokens: Value, token: String, gate: Gate) {
    let (session, logging_in) = log_in(told, tokens);
    gate.reached().await;
    let ending = told.posting(&token);
    settle().await;
    gate.open();

    assert_eq!(logging_in.await.unwrap().expect_err("ended").kind(), RefreshErrorKind::LoggedOut);
    assert_eq!(ending.await.unwrap().status, 200);
    assert!(told.held_by("alice").await.is_empty());
    session.save().await.expect("as a redirect does");
    let error = told.refresher.valid_token(&session).await.expect_err("logged out");
    assert_eq!(error.kind(), RefreshErrorKind::NoTokens);
    assert!(told.held_by("alice").await.is_empty());
    assert_eq!(told.issuer.revocations(), 0);
}

on_each_store! {
    // It does not find the login in the token store, so the login looks whether it has been named.
    async fn a_login_that_is_named_before_it_is_stored_is_none(told: Told) {
        for by_sid in [true, false] {
            let tokens = told.issuer.log_in("alice");
            let token = match by_sid {
                true => told.issuer.logout_token(None, Some(&sid_of(&tokens))),
                false => told.issuer.logout_token(Some("alice"), None),
            };
            let gate = told.tokens.gate_before(TokenOp::Create);
            ends_under_way(&told, tokens, token, gate).await;
            let ended = |record: &StoredTokens| record.ended_by() == Some("failed_login");
            assert_eq!(told.tokens.records().await.iter().filter(|record| ended(record)).count(),
                if by_sid { 1 } else { 2 });
        }
    }

    async fn a_login_that_is_named_while_its_session_is_being_made_is_none(told: Told) {
        let tokens = told.issuer.log_in("alice");
        let token = told.issuer.logout_token(None, Some(&sid_of(&tokens)));
        let gate = told.tokens.gate_after(TokenOp::Create);
        ends_under_way(&told, tokens, token, gate).await;
        assert_eq!(told.tokens.records().await[0].ended_by(), Some("provider"));

        let tokens = told.issuer.log_in("alice");
        let token = told.issuer.logout_token(Some("alice"), None);
        let gate = told.sessions.gate_after(support::Op::Create);
        ends_under_way(&told, tokens, token, gate).await;
    }
}

#[tokio::test]
async fn only_the_login_that_is_named_ends() {
    let told = Told::on_memory();
    let creating = told.tokens.gate_before(TokenOp::Create);
    let (session, logging_in) = log_in(&told, told.issuer.log_in("alice"));
    creating.reached().await;
    let (_, other) = told.log_in_somewhere("bob").await;
    assert_eq!(told.end_sid(&other).await.status, 200);
    creating.open();
    logging_in.await.unwrap().expect("it stands");
    told.refresher.valid_token(&session).await.expect("a token");
}

/// A user whom the provider logged out everywhere logs in again.
#[tokio::test]
async fn a_login_that_begins_after_the_logout_token_stands() {
    let told = Told::on_memory();
    told.log_in_somewhere("alice").await;
    assert_eq!(told.end_user("alice").await.status, 200);
    let (id, _) = told.log_in_somewhere("alice").await;
    told.assert_stands(id).await;
    told.clock.advance(Duration::from_secs(50));
    let (id, _) = told.log_in_somewhere("alice").await;
    told.assert_stands(id).await;
}
