//! Sessions and token records that cannot be read, or are not there: a clear answer, nothing
//! presented, and nothing written over.

use std::time::Duration;

use serde_json::{Value, json};
use support::{
    KEY, Op, StoredTokens, TokenOp, World, on_every_store, races::Station::AfterPost, settle,
    shown_pointer, value, variants::session_at,
};
use tower_sessions::{Session, session::Id};
use tower_token_refresh::{Logout, RefreshErrorKind, token_store::TokenRecord, tower_sessions};

async fn kind_of(world: &World, session: &Session) -> RefreshErrorKind {
    world.refresher.valid_token(session).await.expect_err("no token").kind()
}

/// The same process after a restart: it has nothing in memory.
fn restarted(world: World) -> World {
    World { refresher: world.restarted(), ..world }
}

fn writes(world: &World) -> usize {
    let ops = [TokenOp::Create, TokenOp::Swap, TokenOp::Put, TokenOp::End];
    ops.into_iter().map(|op| world.tokens.calls(op)).sum()
}

on_every_store! {
    async fn a_record_that_is_gone_is_a_401_and_nothing_is_presented_or_made(world: World) {
        let id = world.log_in("alice").await;
        let (key, record) = (world.record_key(id).await, world.record(id).await);
        world.put_back(key, None).await;
        let world = restarted(world);
        let before = writes(&world);

        assert_eq!(kind_of(&world, &world.session(id)).await, RefreshErrorKind::SessionExpired);
        world.expire();
        assert_eq!(kind_of(&world, &world.session(id)).await, RefreshErrorKind::SessionExpired);

        settle().await;
        assert_eq!(writes(&world), before);
        assert_eq!(world.stored_tokens(id).await, StoredTokens::NoRecord);
        assert_eq!(world.issuer.token_requests(), 0);
        // A store whose clock was wrong, say, shows it again.
        world.put_back(key, Some(&record)).await;
        assert!(world.refresher.valid_token(&world.session(id)).await.is_ok(), "nothing is marked");
        world.assert_logged_in(id).await;
    }

    async fn a_flight_whose_record_is_gone_presents_nothing(world: World) {
        let id = world.log_in("alice").await;
        let (key, record) = (world.record_key(id).await, world.record(id).await);
        world.put_back(key, None).await;
        world.expire();

        assert_eq!(kind_of(&world, &world.session(id)).await, RefreshErrorKind::SessionExpired);

        assert_eq!(world.issuer.token_requests(), 0);
        assert_eq!(world.stored_tokens(id).await, StoredTokens::NoRecord);
        world.put_back(key, Some(&record)).await;
        assert!(world.refresher.valid_token(&world.session(id)).await.is_ok(), "nothing is marked");
    }

    async fn a_record_that_goes_while_its_refresh_is_under_way_is_not_made_again(world: World) {
        let id = world.log_in("alice").await;
        let flight = world.flight_at(AfterPost, id).await;
        world.put_back(world.record_key(id).await, None).await;

        let error = flight.land().await.expect_err("gone");

        assert_eq!(error.kind(), RefreshErrorKind::SessionExpired);
        assert_eq!(world.stored_tokens(id).await, StoredTokens::NoRecord);
        assert_eq!(world.refresher.usage().unsaved, 0);
    }

    async fn a_login_whose_record_is_gone_can_be_logged_out_and_in_again(world: World) {
        let id = world.log_in("alice").await;
        world.put_back(world.record_key(id).await, None).await;
        let session = world.session(id);
        world.refresher.log_in(&session, world.token_set("alice")).await.expect("logged in");
        let id = session.id().expect("saved");
        world.assert_logged_in(id).await;

        world.put_back(world.record_key(id).await, None).await;
        let out = world.refresher.log_out(&world.session(id), Logout::EndSession).await;
        out.expect("logged out");
        assert_eq!(world.stored(id).await, None);
    }

    async fn a_record_of_another_issuer_names_both_and_is_left_alone(world: World) {
        let id = world.log_in("alice").await;
        let record = world.record(id).await;
        let (ours, theirs) = (world.issuer.issuer_url(), "https://other.example");
        let other = record.to_text().replace(&format!("\"{ours}\""), &format!("\"{theirs}\""));
        let other = TokenRecord::from_text(&other).expect("a record");
        assert_ne!(other, record);
        if world.keys.is_some() {
            return; // the seal tells that somebody has changed it
        }
        world.put_back(world.record_key(id).await, Some(&other)).await;
        let world = restarted(world);
        let before = writes(&world);
        world.expire();

        let error = world.refresher.valid_token(&world.session(id)).await.expect_err("not ours");

        assert_eq!(error.kind(), RefreshErrorKind::Misconfigured);
        let message = error.to_string();
        assert!(message.contains(&ours) && message.contains(theirs), "{message}");
        assert_eq!(writes(&world), before);
        assert_eq!(world.record(id).await, other);
        assert_eq!(world.issuer.token_requests(), 0);
    }
}

/// What a session may hold under our key that is no pointer.
fn no_pointers() -> Vec<Value> {
    let digits = "0123456789abcdef0123456789abcdef";
    vec![
        json!(17),
        json!(null),
        json!({ "access_token": "secret-text" }),
        json!(["g1."]),
        value(""),
        value("secret-text"),
        value("g1."),
        value(digits),
        value(&format!("g1.{}", &digits[1..])),
        value(&format!("g1.{digits}0")),
        value(&format!("g1.{}", digits.to_uppercase())),
        value(&format!("g1. {}", &digits[1..])),
        value(&format!("g2.{digits}")),
        value(&format!("G1.{digits}")),
    ]
}

async fn session_with(world: &World, key: &str, held: Value) -> Session {
    let session = world.session_with(None, None);
    session.insert_value(key, held).await.expect("inserted");
    session.save().await.expect("saved");
    world.session(session.id().expect("saved"))
}

#[tokio::test]
async fn a_pointer_that_is_none_is_misconfigured_and_shown_to_nobody() {
    let world = World::on_memory();
    for held in no_pointers() {
        let session = session_with(&world, KEY, held.clone()).await;

        let error = world.refresher.valid_token(&session).await.expect_err("no login");

        assert_eq!(error.kind(), RefreshErrorKind::Misconfigured, "{held}");
        let printed = format!("{error} {error:?}");
        assert!(printed.contains(KEY) && !printed.contains("secret-text"), "{printed}");
        let stored = world.stored(session.id().expect("it has an id")).await.expect("stored");
        assert_eq!(stored.data[KEY], held, "it is left alone");
    }
    assert_eq!(world.tokens.calls(TokenOp::Load), 0);
}

#[tokio::test]
async fn a_session_with_such_a_pointer_can_be_logged_out_and_in_again() {
    for held in no_pointers() {
        let world = World::on_memory();
        let session = session_with(&world, KEY, held.clone()).await;
        let out = world.refresher.log_out(&session, Logout::KeepSession).await;
        out.expect("logged out");
        assert_eq!(shown_pointer(&session).await, None, "{held}");

        let session = session_with(&world, KEY, held.clone()).await;
        world.refresher.log_in(&session, world.token_set("alice")).await.expect("logged in");
        world.assert_logged_in(session.id().expect("saved")).await;
    }
}

/// Until now the tokens themselves lay in the session, under another key: such a user logs in
/// again.
#[tokio::test]
async fn a_session_of_the_format_before_holds_no_login() {
    let world = World::on_memory();
    let old = value("s1.0011.7.eyJhY2Nlc3NfdG9rZW4iOiJ4In0");
    let session = session_with(&world, "oauth.tokens", old).await;
    assert_eq!(kind_of(&world, &session).await, RefreshErrorKind::NoTokens);
}

/// What may lie where a token record should, and how it is answered.
fn broken_records(good: &str) -> Vec<(String, RefreshErrorKind)> {
    let unreadable = RefreshErrorKind::Misconfigured;
    let without = |field: &str| {
        let mut record: Value = serde_json::from_str(good).expect("JSON");
        record.as_object_mut().expect("an object").remove(field).expect("a field");
        (record.to_string(), unreadable)
    };
    let with = |field: &str, value: Value, kind| {
        let mut record: Value = serde_json::from_str(good).expect("JSON");
        record[field] = value;
        (record.to_string(), kind)
    };
    let mut broken = vec![
        (String::new(), unreadable),
        ("{}".to_owned(), unreadable),
        ("null".to_owned(), unreadable),
        (good[..good.len() / 2].to_owned(), unreadable),
        with("state", json!("asleep"), unreadable),
        with("state", json!("presenting"), unreadable), // and no time of the mark
        with("generation", json!(-1), unreadable),
        with("nonce", json!("short"), unreadable),
        with("expires_at", json!("soon"), unreadable),
        with("tokens", json!("secret-text"), unreadable),
        with("tokens", json!({ "access_token": "line\nbreak", "obtained_at": 0 }), unreadable),
        with("v", json!(0), unreadable),
        with("v", json!(2), RefreshErrorKind::Unavailable),
        with("v", json!(u64::MAX), RefreshErrorKind::Unavailable),
    ];
    let fields =
        ["v", "state", "generation", "nonce", "issuer", "expires_at", "keep_until", "tokens"];
    broken.extend(fields.map(without));
    broken
}

/// The stored text of a record, as it is.
async fn text_of(world: &World, id: Id) -> Value {
    let key = world.record_key(id).await;
    let records = world.sessions.token_records().await;
    let its = i128::from_be_bytes(key.to_bytes());
    let record = records.into_iter().find(|record| record.id == Id(its)).expect("a record");
    record.data[support::sessions::MARK].clone()
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_left_alone_and_shown_to_nobody() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let (key, good) = (world.record_key(id).await, world.record(id).await);
    let before = writes(&world);
    for (text, kind) in broken_records(&good.to_text()) {
        world.write_text(key, &text, good.keep_until()).await;
        let elsewhere = world.restarted();
        let session = session_at(&elsewhere, id);

        let error = elsewhere.valid_token(&session).await.expect_err("unreadable");

        assert_eq!(error.kind(), kind, "{text}");
        support::seal::assert_shows_no_token(&world, &format!("{error} {error:?}"));
        assert_eq!(text_of(&world, id).await, text, "it is left alone");
    }
    assert_eq!((writes(&world), world.issuer.token_requests()), (before, 0));
    world.put_back(key, Some(&good)).await;
    assert!(world.refresher.valid_token(&world.session(id)).await.is_ok());
}

#[tokio::test]
async fn a_flight_that_finds_such_a_record_presents_nothing_and_writes_nothing() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let (key, good) = (world.record_key(id).await, world.record(id).await);
    world.expire();
    for (text, kind) in broken_records(&good.to_text()) {
        world.write_text(key, &text, good.keep_until()).await;
        assert_eq!(kind_of(&world, &world.session(id)).await, kind, "{text}");
        assert_eq!(text_of(&world, id).await, text, "it is left alone");
    }
    assert_eq!(world.issuer.token_requests(), 0);
    world.put_back(key, Some(&good)).await;
    world.refresher.valid_token(&world.session(id)).await.expect("refreshed");
    world.assert_logged_in(id).await;
}

/// During an update of the application, a process of the later release has written it.
#[tokio::test]
async fn a_record_of_a_later_release_stops_no_token_that_is_still_good() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let (key, good) = (world.record_key(id).await, world.record(id).await);
    let later = good.to_text().replace("\"v\":1", "\"v\":2");
    world.write_text(key, &later, good.keep_until()).await;
    world.clock.advance(Duration::from_secs(50));
    assert!(world.refresher.valid_token(&world.session(id)).await.is_ok());
    settle().await;
    world.expire();
    assert_eq!(kind_of(&world, &world.session(id)).await, RefreshErrorKind::Unavailable);
    assert_eq!(world.issuer.token_requests(), 0);
}

#[tokio::test]
async fn a_session_that_lies_where_a_token_record_should_is_left_alone() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let key = world.record_key(id).await;
    let place = Id(i128::from_be_bytes(key.to_bytes()));
    let mut record = world.sessions.peek(place).await.expect("the token record");
    record.data = [("basket".to_owned(), value("3 apples"))].into();
    world.sessions.overwrite(&record).await;
    world.expire();

    assert_eq!(kind_of(&world, &world.session(id)).await, RefreshErrorKind::Misconfigured);

    assert_eq!(world.sessions.peek(place).await.expect("still there").data, record.data);
    assert_eq!(world.sessions.calls(Op::Delete), 1, "that of the login's own new id");
}
