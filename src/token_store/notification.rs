//! What one process tells the others about a record, as a message: its key, and its text where the
//! grant has ended.

use super::{RecordKey, RecordListener, RecordState, TokenRecord};
use crate::hex;

/// None where a refresh only begins: nobody waits for that.
pub(super) fn encode(key: RecordKey, new: &TokenRecord) -> Option<String> {
    match new.state() {
        RecordState::Live => Some(hex::digits(key.to_bytes())),
        RecordState::Ended(_) => Some(hex::digits(key.to_bytes()) + &new.to_text()),
        RecordState::Presenting { .. } => None,
    }
}

/// Passes a message on. One that cannot be read is not ours.
pub(super) fn dispatch(listener: &dyn RecordListener, message: &str) {
    let Some((key, text)) = message.split_at_checked(32) else { return };
    let Some(key) = hex::parse(key).map(RecordKey::from_bytes) else { return };
    match TokenRecord::from_text(text).ok().as_ref().and_then(TokenRecord::ending) {
        Some(ending) => listener.ended(key, ending),
        None => listener.changed(key),
    }
}
