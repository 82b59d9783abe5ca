//! With seal keys nobody reads a token in the store, no payload opens but in its own place, and a
//! key that changes, is missing or comes late logs nobody out.

mod keys;
mod log;
mod sealed;

use serde_json::Value;
use support::{World, sessions::MARK, tokens};
use tower_sessions::session::{Id, Record};
use tower_token_refresh::{token_store::RecordKey, tower_sessions};

/// The key of the token record that the session under `id` points to.
async fn key_of(world: &World, id: Id) -> RecordKey {
    tokens::key_of(&world.pointer(id).await.expect("logged in"))
}

async fn stored(world: &World, key: RecordKey) -> Record {
    let id = Id(i128::from_be_bytes(key.to_bytes()));
    world.sessions.peek(id).await.expect("a record")
}

/// The text of a token record as it lies in the session store.
async fn record_text(world: &World, key: RecordKey) -> String {
    stored(world, key).await.data[MARK].as_str().expect("a text").to_owned()
}

async fn record(world: &World, key: RecordKey) -> Value {
    serde_json::from_str(&record_text(world, key).await).expect("JSON")
}

/// Puts a record into the place of another, past all rules.
async fn put(world: &World, key: RecordKey, record: &Value) {
    let mut stored = stored(world, key).await;
    stored.data.insert(MARK.to_owned(), record.to_string().into());
    world.sessions.overwrite(&stored).await;
}
