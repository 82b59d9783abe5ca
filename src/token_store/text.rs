//! How a token record is written.
//!
//! ```json
//! { "v": 1, "state": "live", "generation": 3, "nonce": "5f0c…", "issuer": "https://id.example",
//!   "expires_at": 2000000060000, "keep_until": 2002592000000,
//!   "tokens": { "access_token": "…", "refresh_token": "…", "obtained_at": 2000000000000 } }
//! ```
//!
//! | state | means | fields |
//! |---|---|---|
//! | `live` | these are the tokens | |
//! | `presenting` | the same, and a refresh presents their refresh token | `since` |
//! | `ended` | the login is over; there are no tokens | `why`, `revoke`, `with_session` |
//!
//! Times are milliseconds since 1970. With seal keys, `sealed` takes the place of `tokens`; it
//! opens only beside the fields it was written with and under the key of its own record. Everything
//! else is in the clear, so that a process without the seal key can still end the login.
//!
//! A record of a newer version (`v`) is left alone: another process of a later release wrote it.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Ending, EndingReason, Nonce, RecordError, RecordState, TokenRecord, record::Payload};
use crate::tokens::RecordKey;

pub(super) const VERSION: u64 = 1;

impl TokenRecord {
    /// The record as JSON. Without seal keys it shows the tokens.
    #[must_use]
    pub fn to_text(&self) -> String {
        let (since, ending) = match self.state {
            RecordState::Live => (None, None),
            RecordState::Presenting { since } => (Some(to_millis(since)), None),
            RecordState::Ended(ending) => (None, Some(ending)),
        };
        let (tokens, sealed) = match &self.payload {
            Payload::None => (None, None),
            Payload::Plain(tokens) => (Some(tokens.clone()), None),
            Payload::Sealed(sealed) => (None, Some(sealed.clone())),
        };
        let written = Written {
            v: VERSION,
            state: self.state.kind().name().to_owned(),
            generation: self.generation,
            nonce: self.nonce.to_string(),
            since,
            why: ending.map(|ending| ending.reason.name().to_owned()),
            revoke: ending.map(|ending| ending.revoke),
            with_session: ending.map(|ending| ending.with_session),
            issuer: self.issuer.clone(),
            expires_at: to_millis(self.expires_at),
            keep_until: to_millis(self.keep_until),
            tokens,
            sealed,
        };
        serde_json::json!(written).to_string()
    }

    /// Reads what [`to_text`](Self::to_text) wrote.
    ///
    /// # Errors
    /// The text is not a record, or one of a later release.
    pub fn from_text(text: &str) -> Result<Self, RecordError> {
        let broken = |rule| RecordError::Malformed { rule };
        let version: Version = serde_json::from_str(text)
            .map_err(|_| broken("it is not a JSON object with a version"))?;
        match version.v {
            VERSION => {}
            version if version > VERSION => return Err(RecordError::NewerVersion { version }),
            _ => return Err(broken("there is no such version")),
        }
        let written: Written = serde_json::from_str(text)
            .map_err(|_| broken("a field is missing, or is not of its type"))?;
        let time = |millis| from_millis(millis).ok_or(broken("a time is beyond all calendars"));
        let keep_until = time(written.keep_until)?;
        let nonce = Nonce::parse(&written.nonce).ok_or(broken("its nonce is not 16 digits"))?;
        let state = match written.state.as_str() {
            "live" => RecordState::Live,
            "presenting" => {
                let since = written.since.ok_or(broken("the mark has no time"))?;
                RecordState::Presenting { since: time(since)? }
            }
            "ended" => RecordState::Ended(Ending {
                reason: written
                    .why
                    .as_deref()
                    .and_then(EndingReason::from_name)
                    .ok_or(broken("the ending has no known reason"))?,
                revoke: written.revoke.unwrap_or_default(),
                with_session: written.with_session.unwrap_or_default(),
                keep_until,
                nonce,
            }),
            _ => return Err(broken("its state is none of live, presenting and ended")),
        };
        let payload = match (written.tokens, written.sealed) {
            _ if matches!(state, RecordState::Ended(_)) => Payload::None,
            (Some(tokens), None) => Payload::Plain(tokens),
            (None, Some(sealed)) => Payload::Sealed(sealed),
            _ => return Err(broken("it has no tokens, or has them twice")),
        };
        Ok(Self {
            state,
            generation: written.generation,
            nonce,
            issuer: written.issuer,
            expires_at: time(written.expires_at)?,
            keep_until,
            payload,
        })
    }

    /// Everything that a sealed payload is bound to.
    pub(super) fn head(&self, key: RecordKey) -> String {
        let since = match self.state {
            RecordState::Presenting { since } => to_millis(since),
            RecordState::Live | RecordState::Ended(_) => 0,
        };
        // Numbers, hexadecimal digits and fixed words before the issuer: no two heads look the
        // same.
        format!(
            "{VERSION} {:032x} {} {} {} {since} {} {} {}",
            u128::from_be_bytes(key.to_bytes()),
            self.state.kind().name(),
            self.generation,
            self.nonce,
            to_millis(self.expires_at),
            to_millis(self.keep_until),
            self.issuer,
        )
    }
}

#[derive(Deserialize)]
struct Version {
    v: u64,
}

#[derive(Serialize, Deserialize)]
struct Written {
    v: u64,
    state: String,
    generation: u64,
    nonce: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoke: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    with_session: Option<bool>,
    issuer: String,
    expires_at: u64,
    keep_until: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sealed: Option<String>,
}

/// The end of the year 9999: Redis adds to it.
#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))]
const LATEST: u64 = 253_402_300_799_000;

/// When a store drops a record, in milliseconds since 1970: a minute after it may be dropped, as
/// stores go by clocks of their own.
#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))]
pub(super) fn drop_at(keep_until: SystemTime) -> u64 {
    to_millis(crate::tokens::saturating_add(keep_until, Duration::from_secs(60))).min(LATEST)
}

/// Times before 1970 count as 1970: both are long past.
pub(super) fn to_millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn from_millis(millis: u64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}
