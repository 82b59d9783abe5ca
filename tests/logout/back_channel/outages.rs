//! A store or a key server that is down: the provider is asked to come again, and may.

use std::time::Duration;

use http::header;
use support::{Op, ScriptedSessions, ScriptedTokens, TokenOp};
use tower_sessions::MemoryStore;
use tower_token_refresh::{
    RefreshErrorKind, TokenSet, testing::Endpoint, token_store::InSessions, tower_sessions,
};

use super::world::Told;

#[tokio::test(start_paused = true)]
async fn a_token_store_that_is_down_is_no_reason_to_forget_the_token() {
    let told = Told::on_memory();
    let (id, sid) = told.log_in_somewhere("alice").await;
    let slow = told.request(id).await;
    let token = told.issuer.logout_token(None, Some(&sid));
    told.tokens.refuse(TokenOp::End);
    let answer = told.post(&token).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-store"));
    assert_eq!(answer.header(header::RETRY_AFTER), Some("1"));
    let error = told.refresher.valid_token(&slow).await.unwrap_err();
    assert_eq!(error.kind(), RefreshErrorKind::LoggedOut, "ended in this process all the same");

    told.tokens.accept(TokenOp::End);
    assert_eq!(told.post(&token).await.status, 200, "the same token once more");
    assert_eq!(told.tokens.records().await[0].ended_by(), Some("provider"));
    assert_eq!(told.post(&token).await.status, 400, "and now it is used");
}

/// The provider does not come again.
#[tokio::test(start_paused = true)]
async fn an_end_that_could_not_be_stored_is_stored_in_the_background() {
    let told = Told::on_memory();
    let (id, sid) = told.log_in_somewhere("alice").await;
    told.tokens.refuse(TokenOp::End);
    assert_eq!(told.end_sid(&sid).await.status, 503);
    assert!(!told.has_ended(id).await);
    told.tokens.accept(TokenOp::End);
    tokio::time::sleep(Duration::from_secs(2)).await;
    told.assert_ended(id).await;
    assert_eq!(told.issuer.revocations(), 0);
}

/// A provider that lost patience with the first attempt must not take the second for the end of it.
#[tokio::test(start_paused = true)]
async fn a_token_that_comes_again_while_it_is_at_work_is_not_used_up() {
    let told = Told::on_memory();
    let (id, sid) = told.log_in_somewhere("alice").await;
    let token = told.issuer.logout_token(None, Some(&sid));

    told.tokens.fail_next(TokenOp::Find);
    let finding = told.tokens.gate_before(TokenOp::Find);
    let failing = told.posting(&token);
    finding.reached().await;
    let meanwhile = told.post(&token).await;
    assert_eq!(
        (meanwhile.status.as_u16(), meanwhile.header(header::RETRY_AFTER)),
        (503, Some("1"))
    );
    finding.open();
    assert_eq!(failing.await.unwrap().status, 503);

    told.post_again_at_work(&token).await;
    told.assert_ended(id).await;
    assert_eq!(told.post(&token).await.status, 400, "and now it is used");
}

#[tokio::test(start_paused = true)]
async fn one_login_that_cannot_be_ended_does_not_keep_the_others() {
    let told = Told::on_memory();
    let (first, _) = told.log_in_somewhere("alice").await;
    let (second, _) = told.log_in_somewhere("alice").await;
    told.tokens.fail_next(TokenOp::End);
    let token = told.issuer.logout_token(Some("alice"), None);
    assert_eq!(told.post(&token).await.status, 503);
    assert_ne!(told.has_ended(first).await, told.has_ended(second).await, "one of them");

    assert_eq!(told.post(&token).await.status, 200);

    for id in [first, second] {
        told.assert_ended(id).await;
    }
}

#[tokio::test(start_paused = true)]
async fn logins_that_cannot_be_looked_up_are_an_error() {
    for op in [TokenOp::Load, TokenOp::Find] {
        let told = Told::on_memory();
        let (id, sid) = told.log_in_somewhere("alice").await;
        let token = told.issuer.logout_token(None, Some(&sid));
        told.tokens.refuse(op);
        assert_eq!(told.post(&token).await.status, 503, "{op:?}");
        told.tokens.accept(op);
        assert_eq!(told.post(&token).await.status, 200, "{op:?}");
        told.assert_ended(id).await;
    }
}

/// The token itself may be stored by then: what finds it is not.
#[tokio::test(start_paused = true)]
async fn a_log_in_that_the_provider_could_not_end_is_none() {
    let sessions = ScriptedSessions::new(MemoryStore::default()).scripting_token_records();
    let tokens = ScriptedTokens::new(InSessions::new(sessions.clone()));
    let told = Told::over(sessions, tokens, |builder| builder);
    // The names are read before they are written.
    told.sessions.fail_next(Op::Load);
    let session = told.session_with(None, None);
    let set = TokenSet::from_response(told.issuer.log_in("alice")).unwrap();
    let error = told.refresher.log_in(&session, set).await.unwrap_err();
    assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
    assert_eq!(told.tokens.records().await[0].ended_by(), Some("failed_login"));
    session.save().await.unwrap();
    assert!(told.held_by("alice").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_the_provider_s_keys_nobody_can_say_that_a_token_is_wrong() {
    let told = Told::on_memory();
    let (id, sid) = told.log_in_somewhere("alice").await;
    told.issuer.fail_next_at(Endpoint::Jwks, 503, "");
    let token = told.issuer.logout_token(None, Some(&sid));
    let answer = told.post(&token).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["error"], "temporarily_unavailable");
    assert!(told.stored_tokens(id).await.is_live());

    told.clock.advance(Duration::from_secs(5));
    assert_eq!(told.post(&token).await.status, 200);
    told.assert_ended(id).await;
}
