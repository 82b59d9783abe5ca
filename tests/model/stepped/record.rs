//! A token record as a stranger reads it.

use std::time::{Duration, SystemTime};

use serde_json::Value;
use tower_token_refresh::token_store::TokenRecord;

#[derive(Debug, Clone, PartialEq)]
pub struct View {
    pub generation: u64,
    pub nonce: String,
    pub state: Standing,
    /// None where the login has ended.
    pub set: Option<Set>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    Live,
    /// Since then, by the store's wall clock.
    Presenting(SystemTime),
    Ended {
        why: String,
        with_session: bool,
    },
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

impl View {
    pub fn of(record: &TokenRecord) -> Self {
        let json: Value = serde_json::from_str(&record.to_text()).expect("a record is JSON");
        let text = |value: &Value| value.as_str().expect("a string").to_owned();
        let time = |value: &Value| {
            let millis = value.as_u64().expect("milliseconds");
            SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
        };
        let state = match json["state"].as_str() {
            Some("live") => Standing::Live,
            Some("presenting") => Standing::Presenting(time(&json["since"])),
            _ => Standing::Ended {
                why: text(&json["why"]),
                with_session: json["with_session"].as_bool().expect("a flag"),
            },
        };
        let tokens = &json["tokens"];
        let set = tokens.is_object().then(|| Set {
            subject: text(&tokens["subject"]),
            access: text(&tokens["access_token"]),
            refresh: text(&tokens["refresh_token"]),
            expires_at: time(&json["expires_at"]),
        });
        Self {
            generation: json["generation"].as_u64().expect("a number"),
            nonce: text(&json["nonce"]),
            state,
            set,
        }
    }

    pub fn is_ended(&self) -> bool {
        matches!(self.state, Standing::Ended { .. })
    }
}
