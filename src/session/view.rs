//! What a record says about tokens, and what of it a request sees.

use serde_json::Value;
use tower_sessions::session::Record;

use super::{
    aside::is_no_session,
    entry::{self, Entry, State},
    guard::Inner,
};
use crate::{
    grant::{Generation, GrantId},
    ledger::Ending,
};

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
        let held = Held::of(Some(value));
        let ending = match held {
            Held::Set(grant, _) | Held::Tombstone(grant) => self.ledger.ending(grant),
            Held::Nothing | Held::Unreadable => None,
        };
        match (held, ending, value) {
            (_, Some(ending), _) => self.take_out(&mut record, ending),
            (Held::Tombstone(_), None, _) => self.strip(&mut record),
            (_, None, Value::String(text)) => entry::mark_guarded(text, self.mark),
            _ => {}
        }
        Some(record)
    }

    /// Takes an ended grant out of a record that a request sees or makes.
    pub(super) fn take_out(&self, record: &mut Record, ending: Ending) {
        match ending {
            // Its session is deleted with it, whatever else in it says who is logged in.
            Ending::WithSession => record.data.clear(),
            Ending::Final | Ending::Replaced => self.strip(record),
        }
    }

    pub(super) fn unmark(&self, record: &mut Record) {
        if let Some(Value::String(text)) = record.data.get_mut(&*self.key) {
            entry::unmark_guarded(text);
        }
    }
}
