//! A token store that comes back without what it was told last, and records that others have
//! written.

use std::time::SystemTime;

use tower_sessions::session::{Id, Record};
use tower_token_refresh::{
    token_store::{RecordKey, TokenRecord},
    tower_sessions,
};

use super::{World, sessions::MARK, tokens, value};

impl World {
    /// The key of the token record that the stored session points to.
    pub async fn record_key(&self, id: Id) -> RecordKey {
        tokens::key_of(&self.pointer(id).await.expect("the session points to a login"))
    }

    /// The token record that the stored session points to.
    pub async fn record(&self, id: Id) -> TokenRecord {
        let key = self.record_key(id).await;
        self.tokens.peek(key).await.expect("there is a token record")
    }

    /// The token store shows `record` from now on: as after a failover to a replica that was
    /// behind.
    pub async fn put_back(&self, key: RecordKey, record: Option<&TokenRecord>) {
        if let Some(memory) = self.tokens.memory() {
            memory.overwrite(key, record.cloned());
            return;
        }
        match record {
            Some(record) => self.write_text(key, &record.to_text(), record.keep_until()).await,
            None => self.sessions.vanish(session_id(key)).await,
        }
    }

    /// Something else lies in the session store where the record of `key` was.
    pub async fn write_text(&self, key: RecordKey, text: &str, keep_until: SystemTime) {
        let data = [(MARK.to_owned(), value(text))].into();
        let record = Record { id: session_id(key), data, expiry_date: keep_until.into() };
        self.sessions.overwrite(&record).await;
    }
}

/// Where `InSessions` keeps the record of `key`.
fn session_id(key: RecordKey) -> Id {
    Id(i128::from_be_bytes(key.to_bytes()))
}
