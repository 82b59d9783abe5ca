//! An entry as a stranger reads it.

use std::time::{Duration, SystemTime};

use serde_json::Value;
use tower_token_refresh::tower_sessions::session::Record;

pub const KEY: &str = "oauth.tokens";

#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    Nothing,
    Tombstone { grant: String },
    Live { grant: String, generation: u64, set: Set },
}

/// `subject` names the login.
#[derive(Debug, Clone, PartialEq)]
pub struct Set {
    pub subject: String,
    pub access: String,
    pub refresh: String,
    /// By the clock of the process that got it.
    pub expires_at: SystemTime,
}

impl Entry {
    pub fn of(record: &Record) -> Self {
        record.data.get(KEY).and_then(Value::as_str).map_or(Self::Nothing, Self::parse)
    }

    pub fn parse(text: &str) -> Self {
        let parts: Vec<_> = text.splitn(5, '.').collect();
        let grant = parts[1].to_owned();
        if parts[2] == "ended" {
            return Self::Tombstone { grant };
        }
        let payload: Value = serde_json::from_str(parts[4]).expect("the payload is JSON");
        let text = |name: &str| payload[name].as_str().expect("a string").to_owned();
        let millis = parts[3].parse().expect("milliseconds");
        Self::Live {
            grant,
            generation: parts[2].parse().expect("a number"),
            set: Set {
                subject: text("subject"),
                access: text("access_token"),
                refresh: text("refresh_token"),
                expires_at: SystemTime::UNIX_EPOCH + Duration::from_millis(millis),
            },
        }
    }

    pub fn into_set(self) -> Option<Set> {
        match self {
            Self::Live { set, .. } => Some(set),
            Self::Nothing | Self::Tombstone { .. } => None,
        }
    }
}
