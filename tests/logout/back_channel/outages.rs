//! A store or a key server that is down: the provider is asked to come again, and may.

use std::time::Duration;

use http::header;
use tower_sessions::session::Id;
use tower_token_refresh::{Logout, RefreshErrorKind, TokenSet, testing::Endpoint, tower_sessions};

use crate::{
    support::{StoredTokens, settle, Op},
    world::{Told, post_to},
};

#[tokio::test(start_paused = true)]
async fn a_session_store_that_is_down_is_no_reason_to_forget_the_token() {
    let told = Told::on_memory();
    let (id, sid) = told.log_in_somewhere("alice").await;
    let token = told.issuer.logout_token(None, Some(&sid));
    told.store.refuse(Op::Delete);
    let answer = told.post(&token).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-store"));
    assert_eq!(answer.header(header::RETRY_AFTER), Some("1"));
    let error = told.refresher.valid_token(&told.session(id)).await.unwrap_err();
    assert_eq!(error.kind(), RefreshErrorKind::NoTokens, "ended in this process all the same");

    told.store.accept(Op::Delete);
    assert_eq!(told.post(&token).await.status, 200, "the same token once more");
    assert_eq!(told.stored_tokens(id).await, StoredTokens::NoRecord);
    assert_eq!(told.post(&token).await.status, 400, "and now it is used");
}

/// The provider does not come again.
#[tokio::test(start_paused = true)]
async fn a_session_that_could_not_be_deleted_is_deleted_in_the_background() {
    let told = Told::on_memory();
    let (id, sid) = told.log_in_somewhere("alice").await;
    told.store.refuse(Op::Delete);
    assert_eq!(told.end_sid(&sid).await.status, 503);
    told.store.accept(Op::Delete);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(told.stored_tokens(id).await, StoredTokens::NoRecord);
}

/// A provider that lost patience with the first attempt must not take the second for the end of it.
#[tokio::test(start_paused = true)]
async fn a_token_that_comes_again_while_it_is_at_work_is_not_used_up() {
    let told = Told::on_memory();
    let (id, sid) = told.log_in_somewhere("alice").await;
    let token = told.issuer.logout_token(None, Some(&sid));
    let attempt = || {
        let (refresher, token) = (told.refresher.clone(), token.clone());
        tokio::spawn(async move { post_to(&refresher, &token).await })
    };

    told.store.refuse(Op::Delete);
    let deleting = told.store.gate_before(Op::Delete);
    let failing = attempt();
    deleting.reached().await;
    let meanwhile = told.post(&token).await;
    assert_eq!(
        (meanwhile.status.as_u16(), meanwhile.header(header::RETRY_AFTER)),
        (503, Some("1"))
    );
    deleting.open();
    assert_eq!(failing.await.unwrap().status, 503);

    told.store.accept(Op::Delete);
    let deleting = told.store.gate_before(Op::Delete);
    let working = attempt();
    deleting.reached().await;
    assert_eq!(told.post(&token).await.status, 503);
    deleting.open();
    assert_eq!(working.await.unwrap().status, 200);
    assert_eq!(told.stored_tokens(id).await, StoredTokens::NoRecord);
    assert_eq!(told.post(&token).await.status, 400, "and now it is used");
}

#[tokio::test(start_paused = true)]
async fn one_session_that_cannot_be_deleted_does_not_keep_the_others() {
    let told = Told::on_memory();
    let (first, _) = told.log_in_somewhere("alice").await;
    let (second, _) = told.log_in_somewhere("alice").await;
    told.store.refuse(Op::Delete);
    assert_eq!(told.end_user("alice").await.status, 503);
    told.store.accept(Op::Delete);
    assert_eq!(told.end_user("alice").await.status, 200);
    for id in [first, second] {
        assert_eq!(told.stored_tokens(id).await, StoredTokens::NoRecord);
    }
}

#[tokio::test(start_paused = true)]
async fn an_index_that_is_down_is_said() {
    let told = Told::on_memory();
    let (id, sid) = told.log_in_somewhere("alice").await;
    let token = told.issuer.logout_token(None, Some(&sid));
    told.index.refuse(Op::Load);
    assert_eq!(told.post(&token).await.status, 503);
    told.index.accept(Op::Load);
    assert_eq!(told.post(&token).await.status, 200);
    assert_eq!(told.stored_tokens(id).await, StoredTokens::NoRecord);
}

#[tokio::test(start_paused = true)]
async fn a_log_in_that_the_provider_could_not_end_is_none() {
    let told = Told::on_memory();
    told.index.refuse(Op::Load);
    let session = told.session_with(None, None);
    let set = TokenSet::from_response(told.issuer.log_in("alice")).unwrap();
    let error = told.refresher.log_in(&session, set).await.unwrap_err();
    assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
    assert!(told.held_by("alice").await.is_empty());
    session.save().await.unwrap();
    assert!(told.held_by("alice").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_move_that_the_index_does_not_take_is_noted_later() {
    let told = Told::on_memory();
    let (old, sid) = told.log_in_somewhere("alice").await;
    let session = told.request(old).await;
    told.index.refuse(Op::Save);
    session.cycle_id().await.unwrap();
    session.save().await.expect("the move itself stands");
    told.index.accept(Op::Save);
    tokio::time::sleep(Duration::from_secs(60)).await;

    assert_eq!(told.end_sid_after_a_restart(&sid).await.status, 200);
    assert!(told.held_by("alice").await.is_empty());
}

/// The index was down at the first move. When it is asked again, the session lives elsewhere by then, or no longer.
#[tokio::test(start_paused = true)]
async fn a_note_that_comes_late_says_nothing_of_a_login_that_moved_on_or_ended() {
    let told = Told::on_memory();
    let (id, _) = told.log_in_somewhere("alice").await;
    let unnoted = moved_unnoted(&told, id).await;
    let session = told.request(unnoted).await;
    session.cycle_id().await.unwrap();
    session.save().await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let home = session.id().unwrap();
    let records = told.index_records().await;
    assert_eq!(records.len(), 2);
    for record in records {
        let text = serde_json::to_string(&record.data).unwrap();
        assert!(text.contains(&home.to_string()) && !text.contains(&unnoted.to_string()), "{text}");
    }

    let unnoted = moved_unnoted(&told, home).await;
    told.refresher.log_out(&told.session(unnoted), Logout::EndSession).await.expect("logged out");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(told.index_records().await.is_empty());
}

async fn moved_unnoted(told: &Told, id: Id) -> Id {
    let session = told.request(id).await;
    told.index.refuse(Op::Save);
    session.cycle_id().await.unwrap();
    session.save().await.expect("the move itself stands");
    settle().await;
    told.index.accept(Op::Save);
    session.id().unwrap()
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
    assert!(matches!(told.stored_tokens(id).await, StoredTokens::Live { .. }));

    told.clock.advance(Duration::from_secs(5));
    assert_eq!(told.post(&token).await.status, 200);
    assert_eq!(told.stored_tokens(id).await, StoredTokens::NoRecord);
}
