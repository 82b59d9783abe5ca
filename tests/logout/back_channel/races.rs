//! A refresh or a new session id under way at the moment the provider ends the login.

use tower_sessions::{MemoryStore, Session, session::Id};
use tower_token_refresh::{RefreshErrorKind, tower_sessions};

use crate::{
    support::{StoredTokens, races::Station, settle, Op},
    world::{Told, post_to},
};

/// The refresh stands at a station; the login ends; the refresh goes on.
async fn ends_while_a_refresh_stands_at(told: Told, station: Station) {
    let (id, sid) = told.log_in_somewhere("alice").await;
    let mut flight = told.flight_at(station, id).await;
    let (refresher, token) = (told.refresher.clone(), told.issuer.logout_token(None, Some(&sid)));
    let ending = tokio::spawn(async move { post_to(&refresher, &token).await.status });

    settle().await;
    assert!(flight.waiter.is_finished(), "told at once");
    assert_eq!(flight.answer_meanwhile().await.unwrap_err().kind(), RefreshErrorKind::LoggedOut);
    flight.land_alone().await;
    assert_eq!(ending.await.unwrap(), 200);
    settle().await;

    assert_eq!(told.stored_tokens(id).await, StoredTokens::NoRecord);
    assert!(told.held_by("alice").await.is_empty());
    let brought = told.issuer.refreshes();
    assert_eq!(
        told.issuer.revocations(),
        brought.min(expected_revocations(station)),
        "what it brought is revoked"
    );
    let error = told.refresher.valid_token(&told.session(id)).await.unwrap_err();
    assert_eq!(error.kind(), RefreshErrorKind::NoTokens);
}

/// A set that the record takes before it is deleted goes with it; the provider has ended it itself.
fn expected_revocations(station: Station) -> usize {
    usize::from(!matches!(station, Station::BeforeWriteBack | Station::AfterWriteBack))
}

/// Memory was short, so this process has kept nothing of the login but where it lives.
#[tokio::test]
async fn who_waits_is_told_at_once_though_only_the_store_knows_the_login() {
    let told = Told::on(MemoryStore::default(), |builder| builder.cache_bytes(0));
    let (id, sid) = told.log_in_somewhere("alice").await;
    let mut flight = told.flight_at(Station::BeforeReRead, id).await;
    assert_eq!(told.end_sid(&sid).await.status, 200);
    settle().await;
    assert!(flight.waiter.is_finished());
    assert_eq!(flight.answer_meanwhile().await.unwrap_err().kind(), RefreshErrorKind::LoggedOut);
    flight.land_alone().await;
    assert_eq!(told.stored_tokens(id).await, StoredTokens::NoRecord);
}

macro_rules! at_each_station {
    ($($name:ident $station:ident,)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test]
            async fn on_memory() {
                ends_while_a_refresh_stands_at(Told::on_memory(), Station::$station).await;
            }

            #[tokio::test]
            async fn on_sqlite() {
                ends_while_a_refresh_stands_at(Told::on_sqlite().await, Station::$station).await;
            }
        }
    )*};
}

at_each_station! {
    before_the_re_read BeforeReRead,
    after_the_re_read AfterReRead,
    before_the_post BeforePost,
    after_the_post AfterPost,
    before_the_write_back BeforeWriteBack,
    after_the_write_back AfterWriteBack,
}

#[tokio::test]
async fn a_session_that_changes_its_id_during_the_look_up_ends_under_the_new_one() {
    let told = Told::on_memory();
    let (old, sid) = told.log_in_somewhere("alice").await;
    let gate = told.index.gate_after(Op::Load);
    let (refresher, token) = (told.refresher.clone(), told.issuer.logout_token(None, Some(&sid)));
    let ending = tokio::spawn(async move { post_to(&refresher, &token).await.status });
    gate.reached().await;
    gate.open();
    let gate = told.index.gate_after(Op::Load);
    gate.reached().await;

    let session = told.request(old).await;
    let moving = tokio::spawn({
        let session = session.clone();
        async move {
            session.cycle_id().await.unwrap();
            session.save().await.unwrap();
            session.id().unwrap()
        }
    });
    let new = moving.await.unwrap();
    assert_ne!(new, old);
    gate.open();
    assert_eq!(ending.await.unwrap(), 200);
    assert!(told.stored(old).await.is_none());
    assert!(told.stored(new).await.is_none());
}

/// What else says who is logged in, as axum-login's user does.
async fn remember_user(session: &Session) {
    session.insert("user", "alice").await.unwrap();
}

async fn remembers_user(told: &Told, id: Id) -> bool {
    told.stored(id).await.is_some_and(|record| record.data.contains_key("user"))
}

#[tokio::test]
async fn a_session_between_two_ids_comes_back_without_anything() {
    let told = Told::on_memory();
    let (old, sid) = told.log_in_somewhere("alice").await;
    let session = told.request(old).await;
    remember_user(&session).await;
    session.cycle_id().await.unwrap();
    assert_eq!(told.end_sid(&sid).await.status, 200);
    session.save().await.unwrap();
    let new = session.id().unwrap();
    assert_eq!(told.stored_tokens(new).await, StoredTokens::NoEntry);
    assert!(!remembers_user(&told, new).await);
    assert_eq!(session.get_value("user").await.unwrap(), None);
    assert!(told.held_by("alice").await.is_empty());

    session.insert("notice", "you have been logged out").await.unwrap();
    session.save().await.unwrap();
    assert!(
        told.stored(new).await.unwrap().data.contains_key("notice"),
        "a session like any new one"
    );
}

#[tokio::test]
async fn a_session_id_that_is_being_made_is_found() {
    let told = Told::on_memory();
    let (old, sid) = told.log_in_somewhere("alice").await;
    let session = told.request(old).await;
    remember_user(&session).await;
    session.cycle_id().await.unwrap();
    let gate = told.store.gate_after(Op::Create);
    let saving = tokio::spawn({
        let session = session.clone();
        async move { session.save().await.map(|()| session.id().unwrap()) }
    });
    gate.reached().await;
    assert_eq!(told.end_sid(&sid).await.status, 200);
    gate.open();
    let new = saving.await.unwrap().unwrap();
    settle().await;
    assert!(told.stored(new).await.is_none());
    assert_eq!(session.get_value("user").await.unwrap(), None);
}

#[tokio::test]
async fn a_session_id_that_is_made_while_the_old_one_is_looked_at_ends_too() {
    let told = Told::on_memory();
    let (old, sid) = told.log_in_somewhere("alice").await;
    let session = told.request(old).await;
    session.cycle_id().await.unwrap();
    let created = told.store.gate_after(Op::Create);
    let saving = tokio::spawn({
        let session = session.clone();
        async move { session.save().await.map(|()| session.id().unwrap()) }
    });
    created.reached().await;
    let looking = told.store.gate_before(Op::Load);
    let (refresher, token) = (told.refresher.clone(), told.issuer.logout_token(None, Some(&sid)));
    let ending = tokio::spawn(async move { post_to(&refresher, &token).await.status });
    looking.reached().await;
    created.open();
    settle().await;
    looking.open();
    assert_eq!(ending.await.unwrap(), 200);
    let new = saving.await.unwrap().unwrap();
    assert!(told.stored(new).await.is_none());
}
