//! The provider ends a login that is just being made.

use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinHandle;
use tower_sessions::Session;
use tower_token_refresh::{RefreshError, RefreshErrorKind, TokenSet, tower_sessions};

use crate::{
    support::{settle, Op},
    world::{Told, post_to, sid_of},
};

fn log_in(told: &Told, tokens: Value) -> (Session, JoinHandle<Result<(), RefreshError>>) {
    let session = told.session_with(None, None);
    let set = TokenSet::from_response(tokens).expect("a token set");
    let (refresher, to) = (told.refresher.clone(), session.clone());
    (session, tokio::spawn(async move { refresher.log_in(&to, set).await }))
}

async fn ends_under_way(told: &Told, tokens: Value, token: String) {
    let noting = told.index.gate_before(Op::Create);
    let (session, logging_in) = log_in(told, tokens);
    noting.reached().await;
    let refresher = told.refresher.clone();
    let ending = tokio::spawn(async move { post_to(&refresher, &token).await.status });
    settle().await;
    noting.open();

    assert_eq!(logging_in.await.unwrap().expect_err("ended").kind(), RefreshErrorKind::LoggedOut);
    assert_eq!(ending.await.unwrap(), 200);
    assert!(told.held_by("alice").await.is_empty());
    session.save().await.expect("as a redirect does");
    let error = told.refresher.valid_token(&session).await.expect_err("logged out");
    assert_eq!(error.kind(), RefreshErrorKind::NoTokens);
    assert!(told.held_by("alice").await.is_empty());
}

#[tokio::test]
async fn a_login_that_is_named_before_it_is_noted_is_none() {
    let told = Told::on_memory();
    let tokens = told.issuer.log_in("alice");
    let token = told.issuer.logout_token(None, Some(&sid_of(&tokens)));
    ends_under_way(&told, tokens, token).await;

    let tokens = told.issuer.log_in("alice");
    let token = told.issuer.logout_token(Some("alice"), None);
    ends_under_way(&told, tokens, token).await;
    assert!(
        told.index_records()
            .await
            .iter()
            .all(|record| record.data.values().all(is_no_list_of_logins))
    );
}

/// What remembers a used logout token has none in it either.
fn is_no_list_of_logins(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty)
}

#[tokio::test]
async fn only_the_login_that_is_named_ends() {
    let told = Told::on_memory();
    let noting = told.index.gate_before(Op::Create);
    let (session, logging_in) = log_in(&told, told.issuer.log_in("alice"));
    noting.reached().await;
    let (_, other) = told.log_in_somewhere("bob").await;
    assert_eq!(told.end_sid(&other).await.status, 200);
    noting.open();
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
    told.refresher.valid_token(&told.session(id)).await.expect("a token");
    told.clock.advance(Duration::from_secs(50));
    let (id, _) = told.log_in_somewhere("alice").await;
    told.refresher.valid_token(&told.session(id)).await.expect("a token");
}
