//! What a record says about tokens, and what of it a request sees.

use serde_json::Value;
use tower_sessions::session::Record;

use super::{
    aside::is_no_session,
    entry::{self, Entry, State},
    guard::Inner,
};
use crate::grant::{Generation, GrantId};

pub(super) enum Held {
    Nothing,
    Tombstone(GrantId),
    Set(GrantId, Generation),
    Unreadable,
}

impl Held {
    fn of(value: Option<&Value>) -> Self {
        match value {
            None => Self::Nothing,
            Some(Value::String(text)) => match Entry::parse(text) {
                Ok(Entry { grant, state: State::Ended, .. }) => Self::Tombstone(grant),
                Ok(Entry { grant, state: State::Live { generation, .. }, .. }) => {
                    Self::Set(grant, generation)
                }
                Err(_) => Self::Unreadable,
            },
            Some(_) => Self::Unreadable,
        }
    }
}

impl Inner {
    pub(super) fn held(&self, record: &Record) -> Held {
        Held::of(record.data.get(&*self.key))
    }

    pub(super) fn put(&self, record: &mut Record, text: String) {
        record.data.insert(self.key.to_string(), Value::String(text));
    }

    pub(super) fn strip(&self, record: &mut Record) {
        record.data.remove(&*self.key);
    }

    /// Makes a stored record what a request may see. None if it is no session.
    pub(super) fn present(&self, mut record: Record) -> Option<Record> {
        let Some(value) = record.data.get_mut(&*self.key) else {
            // Looked for here only: whatever holds tokens is a session.
            return (!is_no_session(&record)).then_some(record);
        };
        match Held::of(Some(value)) {
            Held::Tombstone(_) => self.strip(&mut record),
            Held::Set(grant, _) if self.ledger.ending(grant).is_some() => self.strip(&mut record),
            _ => {
                if let Value::String(text) = value {
                    entry::mark_guarded(text, self.mark);
                }
            }
        }
        Some(record)
    }

    pub(super) fn unmark(&self, record: &mut Record) {
        if let Some(Value::String(text)) = record.data.get_mut(&*self.key) {
            entry::unmark_guarded(text);
        }
    }
}
