//! What the log says of entries that do not open: one line for each key, however many requests it fails.


use support::{KEY, World, log::Log, seal::OTHER_KEY, variants::session_at};
use tower_sessions::session::Id;
use tower_token_refresh::{RefreshErrorKind, token_store::SealKeys, TokenRefresher, tower_sessions};
use tracing_subscriber::filter::LevelFilter;

/// The id of the key that the entry names.
async fn key_id(world: &World, id: Id) -> String {
    let record = world.stored(id).await.expect("a record");
    record.data[KEY].as_str().expect("a string").split('.').nth(4).expect("a key id").to_owned()
}

async fn is_refused(refresher: &TokenRefresher, id: Id) {
    let error = refresher.valid_token(&session_at(refresher, id)).await.expect_err("no token");
    assert_eq!(error.kind(), RefreshErrorKind::SessionExpired);
}

#[tokio::test]
async fn a_wrong_key_is_one_line_that_names_it_and_what_to_look_at() {
    let world = World::on_memory_sealed();
    let (alices, bobs) = (world.log_in("alice").await, world.log_in("bob").await);
    let stranger = world.restarted_with(|builder| builder.seal_with(token_store::SealKeys::new(OTHER_KEY)));
    let (log, _guard) = Log::of_this_thread(LevelFilter::WARN);

    for id in [alices, bobs, alices] {
        is_refused(&stranger, id).await;
    }

    let lines = log.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("ERROR") && lines[0].contains("seal_with"), "{lines:?}");
    assert!(lines[0].contains(&key_id(&world, alices).await), "{lines:?}");
}

#[tokio::test]
async fn no_keys_at_all_another_key_and_a_changed_entry_are_told_apart() {
    let world = World::on_memory_sealed();
    let id = world.log_in("alice").await;
    let mut changed = world.stored(id).await.expect("a record");
    let entry = changed.data[KEY].as_str().expect("a string").to_owned();
    changed.data.insert(KEY.into(), format!("{entry}AAAA").into());
    let (log, _guard) = Log::of_this_thread(LevelFilter::WARN);

    is_refused(&world.restarted_with(|builder| builder), id).await;
    is_refused(&world.restarted_with(|builder| builder.seal_with(token_store::SealKeys::new(OTHER_KEY))), id)
        .await;
    world.sessions.overwrite(&changed).await;
    is_refused(&world.restarted(), id).await;

    let lines = log.lines();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].contains("given no keys"), "{lines:?}");
    assert!(lines[1].contains("not among those"), "{lines:?}");
    assert!(lines[2].contains("changed after it was sealed"), "{lines:?}");
}

/// Whoever can write to the store can make up as many key ids as there are sessions.
#[tokio::test]
async fn made_up_key_ids_do_not_fill_the_log() {
    let world = World::on_memory_sealed();
    let id = world.log_in("alice").await;
    let id_of_key = key_id(&world, id).await;
    let mut record = world.stored(id).await.expect("a record");
    let entry = record.data[KEY].as_str().expect("a string").to_owned();
    let restarted = world.restarted();
    let (log, _guard) = Log::of_this_thread(LevelFilter::WARN);

    for made_up in 0..200 {
        record.data.insert(KEY.into(), entry.replace(&id_of_key, &format!("A{made_up:07}")).into());
        world.sessions.overwrite(&record).await;
        is_refused(&restarted, id).await;
    }

    assert_eq!(log.lines().len(), 64);
}
