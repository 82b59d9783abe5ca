//! The keys that token sets are sealed with in their records, and what they do.
//!
//! AES-256-GCM-SIV (RFC 8452) with a random nonce. Not plain GCM: there one repeated nonce gives
//! the key away, and clones of a virtual machine do repeat random numbers; here it tells only that
//! two payloads were equal. The cost is a few microseconds per refresh.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    hmac,
};
use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
    prelude::BASE64_URL_SAFE_NO_PAD,
};
use secrecy::zeroize::Zeroizing;

const KEY_BYTES: usize = 32;

/// The keys that seal the tokens in the token store: the first one seals, all of them open.
///
/// For [`seal_with`](crate::TokenRefresherBuilder::seal_with). A key is 32 random bytes, such as
/// `openssl rand -base64 32` prints.
///
/// ```
/// # use tower_token_refresh::token_store::{SealKeys, SealKeysError};
/// # fn main() -> Result<(), SealKeysError> {
/// # let variable = "h4XZBmrk5tqRrpGmNjRqRbmzjGPGGVYsBqYjkTtdV2Q=".to_owned();
/// // The value of an environment variable: one key, or several separated by commas.
/// let keys = SealKeys::from_base64(&variable)?;
/// # let _ = keys;
/// # Ok(())
/// # }
/// ```
///
/// To change the key, put a new one before the old one, and take the old one out when no record is
/// left that it has sealed. Each refresh seals with the new key, and nobody is logged out; a login
/// that was not refreshed since is lost with the old key. Where several processes share a store,
/// first give the new key to all of them behind the old one, then change the order.
///
/// `Debug` shows the ids of the keys, as they lie in the records, and no key.
#[derive(Clone)]
pub struct SealKeys {
    sealing: Arc<Key>,
    older: Vec<Arc<Key>>,
}

/// Why a text gives no [`SealKeys`]. It names the rule and never the text.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealKeysError {
    /// A key that is not base64.
    #[error(
        "seal key {position} is not base64 (the standard or the URL-safe alphabet, with or without padding)"
    )]
    Base64 {
        /// Which one of the keys in the text, from 1.
        position: usize,
    },
    /// A key of another length.
    #[error(
        "seal key {position} has {bytes} bytes: a key has {KEY_BYTES}, such as `openssl rand -base64 {KEY_BYTES}` prints"
    )]
    Length {
        /// Which one of the keys in the text, from 1.
        position: usize,
        /// How many bytes it has.
        bytes: usize,
    },
}

impl SealKeys {
    /// Seals and opens with `key`: 32 bytes from a good source of random numbers, not a password.
    #[must_use]
    pub fn new(key: [u8; KEY_BYTES]) -> Self {
        Self { sealing: Arc::new(Key::new(&Zeroizing::new(key))), older: Vec::new() }
    }

    /// Also opens with `key`.
    #[must_use]
    pub fn also_open(mut self, key: [u8; KEY_BYTES]) -> Self {
        self.older.push(Arc::new(Key::new(&Zeroizing::new(key))));
        self
    }

    /// From base64 text, such as the value of an environment variable: one key, or several with
    /// commas between them, of which the first one seals. Standard and URL-safe base64 are taken,
    /// with or without padding, and space around a key.
    ///
    /// # Errors
    /// A key that is not base64 or does not have 32 bytes. The error names its position and the
    /// rule, never the value.
    pub fn from_base64(text: &str) -> Result<Self, SealKeysError> {
        let mut keys =
            text.split(',').enumerate().map(|(index, key)| decode_key(key.trim(), index + 1));
        // `split` gives at least one part.
        let first = keys.next().unwrap_or(Err(SealKeysError::Length { position: 1, bytes: 0 }))?;
        keys.try_fold(Self::new(*first), |ring, key| Ok(ring.also_open(*key?)))
    }

    /// Seals `payload` and binds it to `head`: `<key id>.<base64url of nonce, payload and tag>`.
    pub(crate) fn seal(&self, head: &str, payload: String) -> Result<String, SealError> {
        let mut payload = payload.into_bytes();
        let (nonce, tag) = self
            .sealing
            .aead
            .seal_in_place_separate_tag(Aad::from(head), &mut payload)
            .map_err(|_| SealError::NotSealed)?;
        let sealed = [nonce.as_ref().as_slice(), &payload, tag.as_ref()].concat();
        Ok(format!("{}.{}", self.sealing.id, BASE64_URL_SAFE_NO_PAD.encode(sealed)))
    }

    /// Opens what was sealed and bound to `head`, by whichever of `keys` sealed it.
    pub(crate) fn open_with(
        keys: Option<&Self>,
        head: &str,
        sealed: &str,
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (id, sealed) = sealed.split_once('.').ok_or(SealError::Malformed)?;
        let id = KeyId::parse(id).ok_or(SealError::Malformed)?;
        keys.ok_or(SealError::NoKeys(id))?.open(id, head, sealed)
    }

    fn open(&self, id: KeyId, head: &str, sealed: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let mut keys = std::iter::once(&self.sealing).chain(&self.older);
        let key = keys.find(|key| key.id == id).ok_or(SealError::UnknownKey(id))?;
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(sealed).map_err(|_| SealError::Malformed)?;
        let mut sealed = Zeroizing::new(sealed);
        let (nonce, in_out) =
            sealed.split_first_chunk_mut::<NONCE_LEN>().ok_or(SealError::Malformed)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = key.aead.open_in_place(nonce, Aad::from(head), in_out);
        let length = opened.map_err(|_| SealError::Changed(id))?.len();
        sealed.truncate(NONCE_LEN + length);
        sealed.drain(..NONCE_LEN);
        Ok(sealed)
    }
}

impl fmt::Debug for SealKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let older: Vec<_> = self.older.iter().map(|key| key.id).collect();
        f.debug_struct("SealKeys")
            .field("seals", &self.sealing.id)
            .field("also_opens", &older)
            .finish()
    }
}

/// `Debug` prints the same as `Display`, because a `main` that returns the error prints `Debug`.
impl fmt::Debug for SealKeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Names a key in the records it has sealed, so that the right one is tried at once.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct KeyId([u8; 6]);

impl KeyId {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a record stays shut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub(crate) enum SealError {
    #[error("it is sealed with the key {0}, and this refresher was given no keys: `seal_with`")]
    NoKeys(KeyId),
    #[error("it is sealed with the key {0}, which is not among those given to `seal_with`")]
    UnknownKey(KeyId),
    #[error("it names the key {0}, which does not open it: it was changed after it was sealed")]
    Changed(KeyId),
    #[error("it is sealed and was changed: a part of it is missing or not what it should be")]
    Malformed,
    #[error("it could not be sealed")]
    NotSealed,
}

/// One key, ready for use. The library overwrites its copy when it lets go of it.
struct Key {
    id: KeyId,
    aead: RandomizedNonceKey,
}

impl Key {
    fn new(key: &[u8; KEY_BYTES]) -> Self {
        // A keyed hash under a label of its own says nothing of what the key does elsewhere.
        let tag =
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), b"tower-token-refresh key id");
        let mut id = [0; 6];
        id.copy_from_slice(&tag.as_ref()[..6]);
        let aead =
            RandomizedNonceKey::new(&AES_256_GCM_SIV, key).expect("32 bytes are a key of AES-256");
        Self { id: KeyId(id), aead }
    }
}

fn decode_key(text: &str, position: usize) -> Result<Zeroizing<[u8; KEY_BYTES]>, SealKeysError> {
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabet = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
    let decoded = GeneralPurpose::new(alphabet, config).decode(text).map(Zeroizing::new);
    let decoded = decoded.map_err(|_| SealKeysError::Base64 { position })?;
    match <[u8; KEY_BYTES]>::try_from(decoded.as_slice()) {
        Ok(key) => Ok(Zeroizing::new(key)),
        Err(_) => Err(SealKeysError::Length { position, bytes: decoded.len() }),
    }
}

#[cfg(test)]
mod tests;
