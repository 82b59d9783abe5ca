//! Token records, made from their documented text as a stranger would make them.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tower_token_refresh::token_store::{
    Ending, EndingReason, NameKey, RecordKey, TokenRecord, TokenStore,
};
use uuid::Uuid;

/// The end of the year 2099, in milliseconds.
pub const KEEP_UNTIL: u64 = 4_102_444_799_500;

pub fn keep_until() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(KEEP_UNTIL)
}

/// A key that no other test uses.
pub fn key() -> RecordKey {
    RecordKey::from_bytes(*Uuid::new_v4().as_bytes())
}

pub fn name() -> NameKey {
    NameKey::from_bytes(*Uuid::new_v4().as_bytes())
}

/// The text of a live record.
pub fn text(generation: u64, nonce: u64) -> Value {
    json!({
        "v": 1,
        "state": "live",
        "generation": generation,
        "nonce": format!("{nonce:016x}"),
        "issuer": "https://id.example",
        "expires_at": 2_000_000_060_000_u64,
        "keep_until": KEEP_UNTIL,
        "tokens": {
            "access_token": format!("at-{generation}"),
            "refresh_token": format!("rt-{generation}"),
            "obtained_at": 2_000_000_000_000_u64,
        },
    })
}

pub fn of(text: &Value) -> TokenRecord {
    TokenRecord::from_text(&text.to_string()).expect("a record")
}

pub fn live(generation: u64, nonce: u64) -> TokenRecord {
    of(&text(generation, nonce))
}

pub fn presenting(generation: u64, nonce: u64) -> TokenRecord {
    let mut text = text(generation, nonce);
    text["state"] = "presenting".into();
    text["since"] = 2_000_000_030_000_u64.into();
    of(&text)
}

pub fn sealed(generation: u64, nonce: u64) -> TokenRecord {
    let mut text = text(generation, nonce);
    text.as_object_mut().expect("an object").remove("tokens");
    text["sealed"] = "AAAAAAAA.c2VhbGVk".into();
    of(&text)
}

/// An ending that is kept until `seconds` after 1970.
pub fn ending(reason: &str, seconds: u64) -> Ending {
    let mut text = text(1, 1);
    let object = text.as_object_mut().expect("an object");
    object.remove("tokens");
    object.extend([
        ("state".to_owned(), "ended".into()),
        ("why".to_owned(), reason.into()),
        ("revoke".to_owned(), (reason == "logout").into()),
        ("with_session".to_owned(), true.into()),
        ("keep_until".to_owned(), (seconds * 1000).into()),
    ]);
    of(&text).ending().expect("it has ended")
}

/// A logout that asks for no longer life than the record has.
pub fn logout() -> Ending {
    let ending = ending("logout", 1000);
    assert_eq!(ending.reason, EndingReason::Logout);
    ending
}

/// `record` in a place of its own.
pub async fn stored(store: &dyn TokenStore, record: &TokenRecord) -> RecordKey {
    let key = key();
    store.create(key, record, &[]).await.expect("created");
    key
}

pub async fn load(store: &dyn TokenStore, key: RecordKey) -> Option<TokenRecord> {
    store.load(key).await.expect("loaded").record
}
