//! Sealed records, opened the way a stranger who has the key would do it.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;
use tower_token_refresh::{
    AccessToken, RefreshError, RefreshErrorKind, TokenRefresher,
    token_store::{RecordKey, SealKeys},
    tower_sessions::session::Id,
};

use super::{World, variants::session_at};

/// What worlds whose records are sealed seal with.
pub const SEAL_KEY: [u8; 32] = [0x5e; 32];
/// What they may seal with after or before that.
pub const OTHER_KEY: [u8; 32] = [0x0d; 32];

pub fn keys() -> SealKeys {
    SealKeys::new(SEAL_KEY)
}

/// The tokens of a sealed record, whichever of the two keys it was sealed with.
pub fn open(key: RecordKey, record: &Value) -> Value {
    let open = |seal_key| open_with(seal_key, key, record);
    [&SEAL_KEY, &OTHER_KEY].into_iter().find_map(open).expect("sealed with one of the keys")
}

/// What a sealed payload is bound to, as the documentation says.
pub fn head(key: RecordKey, record: &Value) -> String {
    let key: String = key.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let text = |field: &str| record[field].as_str().expect("a text").to_owned();
    let number = |field: &str| record[field].as_u64().unwrap_or_default();
    format!(
        "1 {key} {} {} {} {} {} {} {}",
        text("state"),
        number("generation"),
        text("nonce"),
        number("since"),
        number("expires_at"),
        number("keep_until"),
        text("issuer"),
    )
}

pub fn open_with(seal_key: &[u8; 32], key: RecordKey, record: &Value) -> Option<Value> {
    let (_id, sealed) = record["sealed"].as_str()?.split_once('.').expect("a key id");
    let mut sealed = BASE64_URL_SAFE_NO_PAD.decode(sealed).expect("base64url");
    let (nonce, sealed) = sealed.split_at_mut(NONCE_LEN);
    let nonce = Nonce::try_assume_unique_for_key(nonce).expect("a nonce");
    let seal_key = RandomizedNonceKey::new(&AES_256_GCM_SIV, seal_key).expect("a key");
    let head = head(key, record);
    let payload = seal_key.open_in_place(nonce, Aad::from(head.as_bytes()), sealed).ok()?;
    Some(serde_json::from_slice(payload).expect("JSON"))
}

/// Runs each test with sealed records on every store that works without a service.
#[macro_export]
macro_rules! sealed_on_every_store {
    ($(async fn $name:ident($world:ident: World) $body:block)*) => {$(
        async fn $name($world: $crate::World) $body

        mod $name {
            #[tokio::test]
            async fn on_memory() {
                super::$name($crate::World::on_memory_sealed()).await;
            }

            #[tokio::test]
            async fn on_sqlite() {
                super::$name($crate::World::sealed_on($crate::sqlite().await)).await;
            }
        }
    )*};
}

/// The old key seals no more and opens still.
pub fn rotated() -> SealKeys {
    SealKeys::new(OTHER_KEY).also_open(SEAL_KEY)
}

/// No token that the provider has ever handed out, nor anything of one, lies in what was printed or
/// stored.
pub fn assert_shows_no_token(world: &World, text: &str) {
    let secrets = world.issuer.every_secret();
    assert!(secrets.len() >= 2, "there are tokens to look for");
    for part in secrets.iter().flat_map(|secret| secret.split('.')).filter(|part| part.len() > 8) {
        assert!(!text.contains(part), "a token shows: {text}");
    }
}

pub fn kind_of(answer: Result<AccessToken, RefreshError>) -> RefreshErrorKind {
    answer.expect_err("no token").kind()
}

pub async fn ask(refresher: &TokenRefresher, id: Id) -> Result<AccessToken, RefreshError> {
    refresher.valid_token(&session_at(refresher, id)).await
}
