//! A refresh or a new session id under way at the moment the provider ends the login.

use support::{Op, TokenOp, races::Station, settle};
use tower_sessions::{MemoryStore, Session, session::Id};
use tower_token_refresh::{RefreshErrorKind, tower_sessions};

use super::world::Told;

/// The refresh stands at a station; the login ends; the refresh goes on. RACES rows 8 and 10: what
/// it still brings is dropped, as the provider has ended it itself.
async fn ends_while_a_refresh_stands_at(told: Told, station: Station) {
    let (id, sid) = told.log_in_somewhere("alice").await;
    let mut flight = told.flight_at(station, id).await;

    assert_eq!(told.end_sid(&sid).await.status, 200, "it waits for no flight");
    assert_eq!(flight.answer_meanwhile().await.unwrap_err().kind(), RefreshErrorKind::LoggedOut);
    flight.land_alone().await;

    let grant = told.tokens.records().await;
    assert_eq!(grant[0].ended_by(), Some("provider"));
    assert!(told.held_by("alice").await.is_empty());
    assert_eq!(told.issuer.revocations(), 0);
    assert_eq!(told.refresher.usage().unsaved, 0);
    let error = told.refresher.valid_token(&told.session(id)).await.unwrap_err();
    assert_eq!(error.kind(), RefreshErrorKind::NoTokens);
}

/// Memory was short, so this process has kept nothing of the login.
#[tokio::test]
async fn who_waits_is_told_at_once_though_only_the_store_knows_the_login() {
    let told = Told::on(MemoryStore::default(), |builder| builder.cache_bytes(0));
    let (id, sid) = told.log_in_somewhere("alice").await;
    let session = told.request(id).await;
    told.expire();
    let marking = told.tokens.gate_before(TokenOp::Swap);
    let waiter = told.ask(&session);
    marking.reached().await;
    assert_eq!(told.end_sid(&sid).await.status, 200);
    assert_eq!(waiter.await.unwrap().unwrap_err().kind(), RefreshErrorKind::LoggedOut);
    marking.open();
    settle().await;
    assert_eq!(told.tokens.records().await[0].ended_by(), Some("provider"));
    assert_eq!(told.issuer.token_requests(), 0);
}

/// Another process refreshes the login that this one ends.
#[tokio::test]
async fn what_another_process_brings_afterwards_is_dropped_as_well() {
    let told = Told::on_swapping();
    let (id, sid) = told.log_in_somewhere("alice").await;
    let flight = told.flight_at(Station::AfterPost, id).await;

    assert_eq!(told.end_sid_after_a_restart(&sid).await.status, 200);
    let error = flight.land().await.expect_err("the store says that it has ended");

    assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
    assert_eq!(told.tokens.records().await[0].ended_by(), Some("provider"));
    assert_eq!(told.issuer.revocations(), 0);
    let error = told.refresher.valid_token(&told.session(id)).await.unwrap_err();
    assert_eq!(error.kind(), RefreshErrorKind::NoTokens);
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

            #[tokio::test]
            async fn on_swapping() {
                ends_while_a_refresh_stands_at(Told::on_swapping(), Station::$station).await;
            }
        }
    )*};
}

at_each_station! {
    before_the_read BeforeRead,
    after_the_read AfterRead,
    before_the_mark BeforeMark,
    after_the_mark AfterMark,
    before_the_post BeforePost,
    after_the_post AfterPost,
    before_the_put BeforePut,
    after_the_put AfterPut,
}

/// What else says who is logged in, as axum-login's user does.
async fn remember_user(session: &Session) {
    session.insert("user", "alice").await.unwrap();
}

async fn assert_nobody(told: &Told, id: Id) {
    let session = told.session(id);
    assert_eq!(session.get_value("user").await.unwrap(), None);
    let error = told.refresher.valid_token(&session).await.unwrap_err();
    assert_eq!(error.kind(), RefreshErrorKind::NoTokens);
}

#[tokio::test]
async fn a_session_that_changes_its_id_during_the_look_up_ends_under_the_new_one() {
    let told = Told::on_memory();
    let (old, sid) = told.log_in_somewhere("alice").await;
    let session = told.request(old).await;
    remember_user(&session).await;
    let found = told.tokens.gate_after(TokenOp::Find);
    let ending = told.posting(&told.issuer.logout_token(None, Some(&sid)));
    found.reached().await;

    session.cycle_id().await.unwrap();
    session.save().await.unwrap();
    let new = session.id().unwrap();
    assert_ne!(new, old);
    found.open();
    assert_eq!(ending.await.unwrap().status, 200);
    assert_nobody(&told, old).await;
    assert_nobody(&told, new).await;
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
    assert!(told.stored(new).await.unwrap().data.is_empty());
    assert_eq!(session.get_value("user").await.unwrap(), None);

    session.insert("notice", "you have been logged out").await.unwrap();
    session.save().await.unwrap();
    assert!(
        told.stored(new).await.unwrap().data.contains_key("notice"),
        "a session like any new one"
    );
}

#[tokio::test]
async fn a_session_id_that_is_being_made_shows_nobody() {
    let told = Told::on_memory();
    let (old, sid) = told.log_in_somewhere("alice").await;
    let session = told.request(old).await;
    remember_user(&session).await;
    session.cycle_id().await.unwrap();
    let gate = told.sessions.gate_after(Op::Create);
    let saving = tokio::spawn({
        let session = session.clone();
        async move { session.save().await.map(|()| session.id().unwrap()) }
    });
    gate.reached().await;
    assert_eq!(told.end_sid(&sid).await.status, 200);
    gate.open();
    assert_nobody(&told, saving.await.unwrap().unwrap()).await;
}
