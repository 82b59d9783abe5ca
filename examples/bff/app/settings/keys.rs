//! `TOKEN_KEYS`, `INDEX_KEY` and `AUDIT_KEY`. No part of them is ever shown.

use base64::{Engine, prelude::BASE64_STANDARD};
use tower_token_refresh::token_store::SealKeys;

use super::SettingError;

const SHORTEST_KEY: usize = 32;

/// Separated by commas. The first one seals; all of them open.
pub(super) fn token_keys(value: &str) -> Result<SealKeys, SettingError> {
    SealKeys::from_base64(value)
        .map_err(|error| SettingError::unshown("TOKEN_KEYS", error.to_string()))
}

pub(super) fn key(variable: &'static str, value: &str) -> Result<Vec<u8>, SettingError> {
    const RULE: &str =
        "it must be base64 of at least 32 bytes, such as `openssl rand -base64 32` prints";
    let key = BASE64_STANDARD.decode(value.trim()).ok().filter(|key| key.len() >= SHORTEST_KEY);
    key.ok_or_else(|| SettingError::unshown(variable, RULE))
}
