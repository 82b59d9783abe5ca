//! What the log says of records that do not open: one line for each key, however many requests it
//! fails.

use support::{World, log::Log, seal::OTHER_KEY, variants::session_at};
use tower_sessions::session::Id;
use tower_token_refresh::{
    RefreshErrorKind, TokenRefresher,
    token_store::{RecordKey, SealKeys},
    tower_sessions,
};

use crate::{key_of, put, record};

/// The id of the key that the record names.
async fn key_id(world: &World, key: RecordKey) -> String {
    let record = record(world, key).await;
    let sealed = record["sealed"].as_str().expect("a text");
    sealed.split_once('.').expect("a key id").0.to_owned()
}

fn stranger(world: &World) -> TokenRefresher {
    let other_key = SealKeys::new(OTHER_KEY);
    world.restarted_with(|builder| builder.seal_with(other_key))
}

async fn is_refused(refresher: &TokenRefresher, id: Id) {
    let error = refresher.valid_token(&session_at(refresher, id)).await.expect_err("no token");
    assert_eq!(error.kind(), RefreshErrorKind::SessionExpired);
}

#[tokio::test]
async fn a_wrong_key_is_one_line_that_names_it_and_what_to_look_at() {
    let world = World::on_memory_sealed();
    let (alices, bobs) = (world.log_in("alice").await, world.log_in("bob").await);
    let stranger = stranger(&world);
    let log = Log::of_this_thread();

    for id in [alices, bobs, alices] {
        is_refused(&stranger, id).await;
    }

    let lines = log.lines_at("WARN");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("ERROR") && lines[0].contains("seal_with"), "{lines:?}");
    assert!(lines[0].contains(&key_id(&world, key_of(&world, alices).await).await), "{lines:?}");
}

#[tokio::test]
async fn no_keys_at_all_another_key_and_a_changed_record_are_told_apart() {
    let world = World::on_memory_sealed();
    let id = world.log_in("alice").await;
    let key = key_of(&world, id).await;
    let mut changed = record(&world, key).await;
    changed["sealed"] = format!("{}AAAA", changed["sealed"].as_str().expect("a text")).into();
    let log = Log::of_this_thread();

    is_refused(&world.restarted_with(|builder| builder), id).await;
    is_refused(&stranger(&world), id).await;
    put(&world, key, &changed).await;
    is_refused(&world.restarted(), id).await;

    let lines = log.lines_at("WARN");
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].contains("given no keys"), "{lines:?}");
    assert!(lines[1].contains("not among those"), "{lines:?}");
    assert!(lines[2].contains("changed after it was sealed"), "{lines:?}");
}

/// Whoever can write to the store can make up as many key ids as there are records.
#[tokio::test]
async fn made_up_key_ids_do_not_fill_the_log() {
    let world = World::on_memory_sealed();
    let id = world.log_in("alice").await;
    let key = key_of(&world, id).await;
    let id_of_key = key_id(&world, key).await;
    let mut record = record(&world, key).await;
    let sealed = record["sealed"].as_str().expect("a text").to_owned();
    let restarted = world.restarted();
    let log = Log::of_this_thread();

    for made_up in 0..200 {
        record["sealed"] = sealed.replace(&id_of_key, &format!("A{made_up:07}")).into();
        put(&world, key, &record).await;
        is_refused(&restarted, id).await;
    }

    assert_eq!(log.lines_at("WARN").len(), 64);
}
