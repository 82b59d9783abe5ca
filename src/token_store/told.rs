//! What one process tells the others about a record, as a message: its key, and its text where the
//! grant has ended.

use super::{RecordKey, RecordListener, RecordState, TokenRecord};

/// None where a refresh only begins: nobody waits for that.
pub(super) fn message(key: RecordKey, new: &TokenRecord) -> Option<String> {
    match new.state() {
        RecordState::Live => Some(digits(key)),
        RecordState::Ended(_) => Some(digits(key) + &new.to_text()),
        RecordState::Presenting { .. } => None,
    }
}

/// Passes a message on. One that cannot be read is not ours.
pub(super) fn tell(listener: &dyn RecordListener, message: &str) {
    let Some((key, text)) = message.split_at_checked(32) else { return };
    let Some(key) = parse(key) else { return };
    match TokenRecord::from_text(text).ok().as_ref().and_then(TokenRecord::ending) {
        Some(ending) => listener.ended(key, ending),
        None => listener.changed(key),
    }
}

/// The 32 hexadecimal digits of a key.
pub(super) fn digits(key: RecordKey) -> String {
    format!("{:032x}", u128::from_be_bytes(key.to_bytes()))
}

/// Reads what [`digits`] wrote.
pub(super) fn parse(digits: &str) -> Option<RecordKey> {
    let bytes = u128::from_str_radix(digits, 16).ok()?.to_be_bytes();
    Some(RecordKey::from_bytes(bytes))
}
