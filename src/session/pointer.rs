//! The pointer from a session to its login: `g1.` and the grant id, under one key of ours.
//!
//! It is set at log in and never changes after that, so a session that is saved late, copied or
//! brought back can only lose or repeat a pointer that is still true.

use std::sync::Arc;

use serde_json::Value;
use tower_sessions::{
    Session,
    session::{Error, Record},
};

use crate::tokens::GrantId;

const VERSION: &str = "g1.";

/// The session key of the pointer. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Pointer(Arc<str>);

/// Why the pointer of a session cannot be read.
#[derive(Debug)]
pub(crate) enum PointerError {
    /// The session could not be loaded.
    Session(Error),
    /// The value is not a pointer. It is not quoted: it may be somebody's secret.
    Malformed,
}

impl Pointer {
    pub(crate) fn new(key: impl Into<Arc<str>>) -> Self {
        Self(key.into())
    }

    pub(crate) fn key(&self) -> &str {
        &self.0
    }

    /// The login that `session` points to.
    pub(crate) async fn read(&self, session: &Session) -> Result<Option<GrantId>, PointerError> {
        match session.get_value(&self.0).await.map_err(PointerError::Session)? {
            None => Ok(None),
            Some(value) => parse(&value).map(Some).ok_or(PointerError::Malformed),
        }
    }

    /// The login that a record points to. None also if the value is not a pointer.
    pub(super) fn in_record(&self, record: &Record) -> Option<GrantId> {
        record.data.get(&*self.0).and_then(parse)
    }

    pub(crate) async fn set(&self, session: &Session, grant: GrantId) -> Result<(), Error> {
        let pointer = format!("{VERSION}{}", grant.to_secret_text());
        session.insert_value(&self.0, Value::String(pointer)).await.map(|_| ())
    }

    /// Takes the pointer out, if it is one of these.
    pub(crate) async fn remove_any(
        &self,
        session: &Session,
        these: &[Option<GrantId>],
    ) -> Result<(), Error> {
        let value = session.get_value(&self.0).await?;
        if value.is_some() && these.contains(&value.as_ref().and_then(parse)) {
            session.remove_value(&self.0).await?;
        }
        Ok(())
    }

    /// Whether there was one.
    pub(crate) async fn remove(&self, session: &Session) -> Result<bool, Error> {
        Ok(session.remove_value(&self.0).await?.is_some())
    }
}

fn parse(value: &Value) -> Option<GrantId> {
    GrantId::parse(value.as_str()?.strip_prefix(VERSION)?)
}
