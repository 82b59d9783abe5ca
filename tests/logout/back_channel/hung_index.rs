//! An index that takes the question and never answers: nobody waits for it for longer than a write-back may take.

use std::time::Duration;

use tower_token_refresh::{Logout, Revocation, testing::Endpoint};

use crate::{
    support::{StoredTokens, settle, Op},
    world::Told,
};

const WRITE_BACK: Duration = Duration::from_millis(10_100);

#[tokio::test(start_paused = true)]
async fn a_log_out_revokes_first_and_then_waits_for_the_index_no_longer_than_it_may() {
    let told = Told::on_memory();
    let (id, _) = told.log_in_somewhere("alice").await;
    let _stuck = told.index.gate_before(Op::Load);
    let leaving = told.log_out(&told.session(id), Logout::EndSession);
    settle().await;
    assert_eq!(told.issuer.requests(Endpoint::Revocation), 1, "at once");
    told.assert_dead_at_the_provider();

    let done = tokio::time::timeout(WRITE_BACK, leaving).await.expect("in time").unwrap();

    assert!(matches!(done.expect("logged out").revocation, Revocation::Revoked));
}

#[tokio::test(start_paused = true)]
async fn a_session_changes_its_id_all_the_same_and_is_noted_later() {
    let told = Told::on_memory();
    let (id, sid) = told.log_in_somewhere("alice").await;
    let stuck = told.index.gate_before(Op::Load);
    let session = told.request(id).await;
    session.cycle_id().await.unwrap();
    let saved = tokio::time::timeout(WRITE_BACK, session.save()).await;
    saved.expect("in time").expect("the move stands");
    stuck.open();
    tokio::time::sleep(Duration::from_secs(60)).await;

    assert_eq!(told.end_sid_after_a_restart(&sid).await.status, 200);
    assert!(told.held_by("alice").await.is_empty());
}

/// The provider is asked to come again, and may: the token does not count as used.
#[tokio::test(start_paused = true)]
async fn a_logout_token_that_cannot_be_looked_up_in_time_may_come_again() {
    let told = Told::on_memory();
    let (id, sid) = told.log_in_somewhere("alice").await;
    let token = told.issuer.logout_token(None, Some(&sid));
    let stuck = told.index.gate_before(Op::Load);
    let answer = tokio::time::timeout(WRITE_BACK, told.post(&token)).await;
    assert_eq!(answer.expect("in time").status, 503);
    drop(stuck);
    assert_eq!(told.post(&token).await.status, 200);
    assert_eq!(told.stored_tokens(id).await, StoredTokens::NoRecord);
}

/// Everything that is left to do in the index after the logins have ended.
#[tokio::test(start_paused = true)]
async fn logins_end_though_the_index_hangs_afterwards() {
    let told = Told::on_memory();
    let (id, sid) = told.log_in_somewhere("alice").await;
    let token = told.issuer.logout_token(None, Some(&sid));
    let _stuck = [told.index.gate_before(Op::Delete), told.index.gate_before(Op::Create)];
    let answer = tokio::time::timeout(Duration::from_secs(31), told.post(&token)).await;
    assert_eq!(answer.expect("in time").status, 200);
    assert_eq!(told.stored_tokens(id).await, StoredTokens::NoRecord);
    assert_eq!(told.post(&token).await.status, 400, "it is used in this process");
}
