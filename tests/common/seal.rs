//! Sealed entries, opened the way a stranger who has the key would do it.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;
use tower_token_refresh::{
    AccessToken, RefreshError, RefreshErrorKind, SealKeys, TokenRefresher,
    tower_sessions::session::Id,
};

use super::{World, variants::session_at};

/// What worlds whose entries are sealed seal with.
pub const SEAL_KEY: [u8; 32] = [0x5e; 32];
/// What they may seal with after or before that.
pub const OTHER_KEY: [u8; 32] = [0x0d; 32];

pub fn keys() -> SealKeys {
    SealKeys::new(SEAL_KEY)
}

/// The payload of a sealed entry, whichever of the two keys it was sealed with.
pub fn open(entry: &str) -> Value {
    [SEAL_KEY, OTHER_KEY]
        .iter()
        .find_map(|key| open_with(key, entry))
        .expect("sealed with one of the keys")
}

pub fn open_with(key: &[u8; 32], entry: &str) -> Option<Value> {
    let (head, sealed) = entry.split_at(entry.rfind('.').expect("a payload") + 1);
    let mut sealed = BASE64_URL_SAFE_NO_PAD.decode(sealed).expect("base64url");
    let (nonce, sealed) = sealed.split_at_mut(NONCE_LEN);
    let nonce = Nonce::try_assume_unique_for_key(nonce).expect("a nonce");
    let key = RandomizedNonceKey::new(&AES_256_GCM_SIV, key).expect("a key");
    let payload = key.open_in_place(nonce, Aad::from(head), sealed).ok()?;
    Some(serde_json::from_slice(payload).expect("JSON"))
}

/// Runs each test with sealed entries on every store that works without a service.
macro_rules! sealed_on_every_store {
    ($(async fn $name:ident($world:ident: World) $body:block)*) => {$(
        async fn $name($world: $crate::common::World) $body

        mod $name {
            #[tokio::test]
            async fn on_memory() {
                super::$name($crate::common::World::on_memory_sealed()).await;
            }

            #[tokio::test]
            async fn on_sqlite() {
                super::$name($crate::common::World::sealed_on($crate::common::sqlite().await)).await;
            }
        }
    )*};
}
pub(crate) use sealed_on_every_store;

/// The old key seals no more and opens still.
pub fn rotated() -> SealKeys {
    SealKeys::new(OTHER_KEY).also_open(SEAL_KEY)
}

pub async fn entry_text(world: &World, id: Id) -> String {
    world.stored(id).await.expect("a record").data[super::KEY]
        .as_str()
        .expect("a string")
        .to_owned()
}

pub async fn put_entry(world: &World, id: Id, entry: String) {
    let mut record = world.stored(id).await.expect("a record");
    record.data.insert(super::KEY.into(), entry.into());
    world.store.overwrite(&record).await;
}

/// No token that the provider has ever handed out, nor anything of one, lies in what was printed or stored.
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
