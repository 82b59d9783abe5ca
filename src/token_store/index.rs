//! Which records a name finds, in a session store: one record per name, with a list of keys.
//!
//! It holds at most 100 keys; those not heard of for longest go first. A key is kept for longer
//! than its record lives, so that not each refresh has to write. A key too many does no harm: its
//! record says that it has ended, or is gone.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::text::{from_millis, to_millis};
use crate::{hex, tokens::RecordKey};

/// The most keys of one name.
const MOST: usize = 100;
/// How much longer than its record a key is kept at the most.
const SPARE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

#[derive(Serialize, Deserialize, Clone)]
struct Entry {
    /// Thirty-two hexadecimal digits.
    key: String,
    until: u64,
}

/// The list with `key` in it until `until`, and how long the list must be kept. None if the key is
/// already there for that long.
pub(super) fn with(
    list: Option<&Value>,
    key: RecordKey,
    until: SystemTime,
) -> Option<(Value, SystemTime)> {
    let mut entries = entries(list);
    let key = hex::digits(key.to_bytes());
    let enough = to_millis(until);
    let known = entries.iter().find(|entry| entry.key == key);
    let is_known = known.is_some();
    if known.is_some_and(|known| known.until >= enough) {
        return None;
    }
    // A key that is noted for the first time has no refresh to spare a write.
    let spare = if is_known { SPARE } else { Duration::ZERO };
    let until = to_millis(until.checked_add(spare).unwrap_or(until));
    entries.retain(|entry| entry.key != key);
    entries.push(Entry { key, until });
    let too_many = entries.len().saturating_sub(MOST);
    entries.drain(..too_many);
    let last = entries.iter().map(|entry| entry.until).max().and_then(from_millis);
    Some((serde_json::json!(entries), last.unwrap_or(SystemTime::UNIX_EPOCH)))
}

pub(super) fn keys(list: &Value) -> Vec<RecordKey> {
    let keys = entries(Some(list)).into_iter().filter_map(|entry| hex::parse(&entry.key));
    keys.map(RecordKey::from_bytes).collect()
}

/// An entry that cannot be read is not ours, and names nobody.
fn entries(list: Option<&Value>) -> Vec<Entry> {
    let list = list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(|entry| Entry::deserialize(entry).ok()).collect()
}
