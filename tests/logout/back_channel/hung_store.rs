//! A token store that takes the question and never answers: nobody waits for it for longer than a
//! call may take.

use std::time::Duration;

use support::TokenOp;

use super::world::Told;

/// What one call may take, and a little more.
const ONE_CALL: Duration = Duration::from_millis(10_100);

// The provider is asked to come again, and may: the token does not count as used.
#[tokio::test(start_paused = true)]
async fn a_logout_token_that_cannot_be_carried_out_in_time_may_come_again() {
    for op in [TokenOp::Load, TokenOp::Find, TokenOp::End] {
        let told = Told::on_memory();
        let (id, sid) = told.log_in_somewhere("alice").await;
        let token = told.issuer.logout_token(None, Some(&sid));
        let stuck = told.tokens.gate_before(op);
        let answer = tokio::time::timeout(ONE_CALL, told.post(&token)).await;
        assert_eq!(answer.expect("in time").status, 503, "{op:?}");
        drop(stuck);
        assert_eq!(told.post(&token).await.status, 200, "{op:?}");
        told.assert_ended(id).await;
    }
}

// Everything that is left to do in the store after the logins have ended.
#[tokio::test(start_paused = true)]
async fn logins_end_though_the_store_hangs_afterwards() {
    let told = Told::on_memory();
    let (id, sid) = told.log_in_somewhere("alice").await;
    let token = told.issuer.logout_token(None, Some(&sid));
    let _stuck = told.tokens.gate_before(TokenOp::Create);
    let answer = tokio::time::timeout(ONE_CALL, told.post(&token)).await;
    assert_eq!(answer.expect("in time").status, 200);
    told.assert_ended(id).await;
    assert_eq!(told.post(&token).await.status, 400, "it is used in this process");
}
