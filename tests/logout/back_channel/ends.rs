//! Whose logins end, and what is left of them.

use serde_json::json;
use support::{Gate, TokenOp, settle, variants::session_at};
use tower_sessions::{
    Expiry,
    cookie::time::{Duration, OffsetDateTime},
};
use tower_token_refresh::{Logout, RefreshErrorKind, TokenSet, tower_sessions};

use super::world::{Told, on_each_store, sid_of};

on_each_store! {
    async fn a_login_that_the_provider_ended_ends_quietly_and_with_its_session(told: Told) {
        let (id, sid) = told.log_in_somewhere("alice").await;
        assert_eq!(told.end_sid(&sid).await.status, 200);
        told.assert_ended(id).await;
        assert_eq!(told.issuer.revocations(), 0, "the provider has ended them itself");
    }

    async fn a_user_s_logins_all_end_and_nobody_else_s(told: Told) {
        let (first, _) = told.log_in_somewhere("alice").await;
        let (second, _) = told.log_in_somewhere("alice").await;
        let (other, _) = told.log_in_somewhere("bob").await;
        assert_eq!(told.end_user("alice").await.status, 200);
        told.assert_ended(first).await;
        told.assert_ended(second).await;
        told.assert_stands(other).await;
    }

    async fn a_session_that_is_named_beside_its_user_ends_alone(told: Told) {
        let (first, sid) = told.log_in_somewhere("alice").await;
        let (second, _) = told.log_in_somewhere("alice").await;
        let token = told.issuer.logout_token(Some("alice"), Some(&sid));
        assert_eq!(told.post(&token).await.status, 200);
        told.assert_ended(first).await;
        told.assert_stands(second).await;
    }

    async fn a_session_that_is_to_live_for_thousands_of_years_can_be_ended_too(told: Told) {
        let last_of_9999 = OffsetDateTime::from_unix_timestamp(253_402_300_799).unwrap();
        let far = Duration::days(365 * 3000);
        for expiry in [Expiry::OnInactivity(far), Expiry::AtDateTime(last_of_9999)] {
            let session = told.session_with(None, Some(expiry));
            told.log_in_on(&session, "alice").await;
            let id = session.id().unwrap();
            assert_eq!(told.end_user("alice").await.status, 200);
            told.assert_ended(id).await;
        }
    }

    async fn two_logins_of_one_browser_end_together(told: Told) {
        let tokens = told.issuer.log_in("alice");
        let sid = sid_of(&tokens);
        let first = told.log_in_with(tokens).await;
        let again = told.issuer.log_in_again(&sid);
        assert_eq!(sid_of(&again), sid);
        let second = told.log_in_with(again).await;
        let (elsewhere, _) = told.log_in_somewhere("alice").await;

        assert_eq!(told.end_sid(&sid).await.status, 200);
        told.assert_ended(first).await;
        told.assert_ended(second).await;
        told.assert_stands(elsewhere).await;
    }

    async fn a_log_out_of_one_of_them_ends_that_one_here(told: Told) {
        let tokens = told.issuer.log_in("alice");
        let sid = sid_of(&tokens);
        let first = told.log_in_with(tokens).await;
        let second = told.log_in_with(told.issuer.log_in_again(&sid)).await;

        told.refresher.log_out(&told.session(first), Logout::EndSession).await.expect("logged out");
        told.assert_stands(second).await;
        // By the revocation its provider ended the browser's session, and says so.
        assert_eq!(told.end_sid(&sid).await.status, 200);
        told.assert_ended(second).await;
    }

    async fn a_process_that_was_started_later_ends_them_too(told: Told) {
        let (id, sid) = told.log_in_somewhere("alice").await;
        assert_eq!(told.end_sid_after_a_restart(&sid).await.status, 200);
        assert!(told.has_ended(id).await);
    }

    // It reads the record before it serves, and takes the session along.
    async fn a_process_that_did_not_hear_of_it_serves_nobody_either(told: Told) {
        let session = told.session_with(None, None);
        session.insert("user", "alice").await.unwrap();
        let tokens = told.issuer.log_in("alice");
        let sid = sid_of(&tokens);
        let set = TokenSet::from_response(tokens).unwrap();
        told.refresher.log_in(&session, set).await.unwrap();
        let id = session.id().unwrap();
        assert_eq!(told.end_sid(&sid).await.status, 200);

        let elsewhere = told.restarted();
        let session = session_at(&elsewhere, id);
        let error = elsewhere.valid_token(&session).await.expect_err("it has ended");

        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
        assert!(session.is_empty().await);
        assert_eq!(told.stored(id).await, None);
    }

    async fn a_refreshed_login_ends_too(told: Told) {
        let (id, sid) = told.log_in_somewhere("alice").await;
        told.refresh(id).await;
        assert_eq!(told.end_sid(&sid).await.status, 200);
        told.assert_ended(id).await;
    }

    async fn everything_else_in_the_session_goes_with_it(told: Told) {
        let session = told.session_with(None, None);
        session.insert("axum-login.data", json!({ "user_id": 7 })).await.unwrap();
        let tokens = told.issuer.log_in("alice");
        let sid = sid_of(&tokens);
        let set = TokenSet::from_response(tokens).unwrap();
        told.refresher.log_in(&session, set).await.unwrap();
        let id = session.id().unwrap();
        assert!(told.stored(id).await.unwrap().data.contains_key("axum-login.data"));

        assert_eq!(told.end_sid(&sid).await.status, 200);
        told.assert_ended(id).await;
    }

    async fn a_late_save_brings_nothing_back(told: Told) {
        let (id, sid) = told.log_in_somewhere("alice").await;
        let slow = told.request(id).await;
        slow.insert("basket", 3).await.unwrap();
        assert_eq!(told.end_sid(&sid).await.status, 200);
        slow.save().await.unwrap();
        assert!(told.stored(id).await.unwrap().data.is_empty());
    }
}

#[tokio::test]
async fn a_session_that_nobody_has_counts_as_ended() {
    let told = Told::on_memory();
    assert_eq!(told.end_sid("nobody-s").await.status, 200);
    assert_eq!(told.end_user("nobody").await.status, 200);
}

#[tokio::test]
async fn a_caller_that_leaves_stops_nothing() {
    let told = Told::on_memory();
    let gates: [&dyn Fn() -> Gate; 4] = [
        &|| told.tokens.gate_before(TokenOp::Load),
        &|| told.tokens.gate_before(TokenOp::Find),
        &|| told.tokens.gate_before(TokenOp::End),
        &|| told.tokens.gate_before(TokenOp::Create),
    ];
    for (step, make_gate) in gates.into_iter().enumerate() {
        let (id, sid) = told.log_in_somewhere("alice").await;
        let gate = make_gate();
        let token = told.issuer.logout_token(None, Some(&sid));
        let caller = told.posting(&token);
        gate.reached().await;
        caller.abort();
        assert!(caller.await.is_err_and(|error| error.is_cancelled()));
        gate.open();
        settle().await;
        told.assert_ended(id).await;
        assert_eq!(told.post(&token).await.status, 400, "step {step}: it is used");
    }
}

#[tokio::test]
async fn a_shutdown_waits_for_it() {
    let told = Told::on_memory();
    let (id, sid) = told.log_in_somewhere("alice").await;
    let gate = told.tokens.gate_before(TokenOp::End);
    let caller = told.posting(&told.issuer.logout_token(None, Some(&sid)));
    gate.reached().await;
    let refresher = told.refresher.clone();
    let down =
        tokio::spawn(async move { refresher.shutdown(std::time::Duration::from_secs(60)).await });
    settle().await;
    assert!(!down.is_finished());
    gate.open();
    assert_eq!(caller.await.unwrap().status, 200);
    down.await.unwrap().unwrap();
    told.assert_ended(id).await;
}
