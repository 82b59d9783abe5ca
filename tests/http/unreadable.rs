//! What a client is told whose session points to something that this process cannot read. It is
//! kept: another process may be able to, or somebody can mend it.

use serde_json::{Value, json};
use support::{KEY, World, http, sessions::MARK};
use tower_token_refresh::{RefreshError, RefreshErrorKind as Kind};

use super::error_answers::{assert_told, guarded};

#[tokio::test]
async fn a_pointer_that_does_not_parse() {
    let spoiled = [
        json!("hunter2"),
        json!("g1.hunter2"),
        json!("g2.00000000000000000000000000000001"),
        json!("g1.00000000000000000000000000hunter2"),
        json!({ "access_token": "hunter2" }),
    ];
    for value in spoiled {
        let world = World::on_memory();
        let id = world.log_in("alice").await;
        let mut record = world.stored(id).await.unwrap();
        record.data.insert(KEY.into(), value.clone());
        world.sessions.overwrite(&record).await;

        let answer = http::ask(&guarded(&world.refresher), http::get("/", Some(id))).await;

        assert_told(&world, &answer, Kind::Misconfigured, "misconfigured");
        let error = answer.extensions.get::<RefreshError>().unwrap();
        assert!(error.to_string().contains(KEY), "{error}");
        assert!(!format!("{error:?} {}", answer.body).contains("hunter2"), "{error}");
        let session = world.session(id);
        session.insert("seen", true).await.unwrap();
        session.save().await.unwrap();
        assert_eq!(world.stored(id).await.unwrap().data[KEY], value, "whoever saves the session");
    }
}

/// The answer that a user gets whose token record is this, as another process finds it.
async fn asked_with_the_record(
    spoil: impl FnOnce(&mut Value),
    kind: Kind,
    code: &str,
) -> RefreshError {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let mut stored = world.sessions.token_records().await.pop().expect("a token record");
    let text = stored.data[MARK].as_str().expect("a text");
    let mut record = serde_json::from_str(text).expect("JSON");
    spoil(&mut record);
    stored.data.insert(MARK.into(), record.to_string().into());
    world.sessions.overwrite(&stored).await;

    let answer = http::ask(&guarded(&world.restarted()), http::get("/", Some(id))).await;

    assert_told(&world, &answer, kind, code);
    assert_eq!(world.sessions.peek(stored.id).await, Some(stored), "kept");
    assert_eq!(world.issuer.token_requests(), 0);
    answer.extensions.get::<RefreshError>().expect("in the extensions").clone()
}

#[tokio::test]
async fn a_token_record_that_does_not_parse() {
    let spoiled: [fn(&mut Value); 4] = [
        |record| record["state"] = json!("hunter2"),
        |record| record["generation"] = json!("hunter2"),
        |record| record["tokens"] = json!({ "access_token": ["hunter2"] }),
        |record| *record = json!("hunter2"),
    ];
    for spoil in spoiled {
        let error = asked_with_the_record(spoil, Kind::Misconfigured, "misconfigured").await;
        assert!(error.to_string().contains("token record"), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

/// A later release of this crate runs beside this one: it can go on with it.
#[tokio::test]
async fn a_token_record_of_a_later_release() {
    let later = |record: &mut Value| record["v"] = json!(2);
    asked_with_the_record(later, Kind::Unavailable, "unavailable").await;
}

#[tokio::test]
async fn a_token_record_that_is_gone() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let record = world.sessions.token_records().await.pop().expect("a token record");
    world.sessions.vanish(record.id).await;
    world.expire();
    let answer = http::ask(&guarded(&world.refresher), http::get("/", Some(id))).await;
    assert_told(&world, &answer, Kind::SessionExpired, "session_expired");
    assert_eq!(world.issuer.token_requests(), 0);
    assert_eq!(world.sessions.token_records().await, [], "none is made");
}

/// Who has the key can go on with them.
#[tokio::test]
async fn tokens_that_are_sealed_and_no_key_opens_them() {
    let world = World::on_memory_sealed();
    let id = world.log_in("alice").await;
    let keyless = world.restarted_with(|builder| builder);
    let answer = http::ask(&guarded(&keyless), http::get("/", Some(id))).await;
    assert_told(&world, &answer, Kind::SessionExpired, "session_expired");
    assert_eq!(world.stored_tokens(id).await.generation(), Some(1));
    assert_eq!(http::ask(&guarded(&world.refresher), http::get("/", Some(id))).await.status, 200);
}
