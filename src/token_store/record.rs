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

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use aws_lc_rs::rand;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::tokens::RecordKey;

const VERSION: u64 = 1;

/// What a token store keeps of one grant.
///
/// A store may keep it as its [text](Self::to_text), or the fields it compares (the
/// [version](Self::version)) in columns beside the text. `Debug` shows no token.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenRecord {
    pub(super) state: RecordState,
    pub(super) generation: u64,
    pub(super) nonce: Nonce,
    pub(super) issuer: String,
    pub(super) expires_at: SystemTime,
    pub(super) keep_until: SystemTime,
    pub(super) payload: Payload,
}

/// The tokens of a record.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Payload {
    /// Of a record that has ended.
    None,
    Plain(Value),
    Sealed(String),
}

/// What a record says of its grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordState {
    /// The tokens are good.
    Live,
    /// The tokens are good, and a refresh presents the refresh token.
    Presenting {
        /// When the refresh marked the record, by the store's clock where it has one.
        since: SystemTime,
    },
    /// The login is over.
    Ended(Ending),
}

/// What [`TokenStore::swap`](super::TokenStore::swap) compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecordVersion {
    /// Counts the token sets of the grant, from 1.
    pub generation: u64,
    /// `live`, `presenting` or `ended`.
    pub state: &'static str,
    /// Names whoever wrote the record last.
    pub nonce: Nonce,
}

/// Names one writing of a record: 64 random bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce(u64);

/// How a login ends, for its token record and for what a refresh under way still brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ending {
    /// Why the grant ended.
    pub reason: EndingReason,
    /// Whether tokens that a refresh still brings are revoked. Otherwise they are dropped.
    pub revoke: bool,
    /// Whether the sessions that point to the login end with it.
    pub with_session: bool,
    /// How long the record of the ending must stay. It stays as long as the record that it
    /// replaces, if that is longer.
    pub keep_until: SystemTime,
}

/// Why a login ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndingReason {
    /// The user logged out.
    Logout,
    /// Another login took its place in the session.
    Replaced,
    /// The log in that made it failed.
    FailedLogin,
    /// The provider ended it (OpenID Connect Back-Channel Logout 1.0).
    Provider,
    /// The provider no longer takes the refresh token, or there is none.
    Expired,
    /// The refreshed tokens were another user's.
    SubjectChanged,
}

/// Why a record cannot be read. It names the rule and never the value, which holds tokens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// It is not a record of this crate.
    #[error("{rule}")]
    Malformed {
        /// The rule it breaks.
        rule: &'static str,
    },
    /// A later release wrote it.
    #[error("it has version {version}, and this release reads version {VERSION}")]
    NewerVersion {
        /// Its version.
        version: u64,
    },
}

impl TokenRecord {
    /// What is compared before the record is replaced.
    #[must_use]
    pub fn version(&self) -> RecordVersion {
        let state = self.state.name();
        RecordVersion { generation: self.generation, state, nonce: self.nonce }
    }

    /// The state of the grant.
    #[must_use]
    pub fn state(&self) -> RecordState {
        self.state
    }

    /// How the grant ended, if it has.
    #[must_use]
    pub fn ending(&self) -> Option<Ending> {
        match self.state {
            RecordState::Ended(ending) => Some(ending),
            RecordState::Live | RecordState::Presenting { .. } => None,
        }
    }

    /// Counts the token sets of the grant, from 1.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// How long the store must keep the record. After that it may drop it.
    #[must_use]
    pub fn keep_until(&self) -> SystemTime {
        self.keep_until
    }

    /// The record that replaces this one when its grant ends.
    #[must_use]
    pub fn ended(&self, ending: &Ending) -> Self {
        let keep_until = self.keep_until.max(ending.keep_until);
        let (generation, nonce, expires_at) = (self.generation, self.nonce, self.expires_at);
        Self {
            state: RecordState::Ended(Ending { keep_until, ..*ending }),
            generation,
            nonce,
            issuer: self.issuer.clone(),
            expires_at,
            keep_until,
            payload: Payload::None,
        }
    }

    /// A record of something that is over, for a grant that has no other.
    pub(crate) fn of_ending(ending: Ending, issuer: &str) -> Self {
        Self {
            state: RecordState::Ended(ending),
            generation: 0,
            nonce: Nonce::random(),
            issuer: issuer.to_owned(),
            expires_at: SystemTime::UNIX_EPOCH,
            keep_until: ending.keep_until,
            payload: Payload::None,
        }
    }

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
            state: self.state.name().to_owned(),
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
            0 => return Err(broken("there is no version 0")),
            version => return Err(RecordError::NewerVersion { version }),
        }
        let written: Written = serde_json::from_str(text)
            .map_err(|_| broken("a field is missing, or is not of its type"))?;
        let time = |millis| from_millis(millis).ok_or(broken("a time is beyond all calendars"));
        let keep_until = time(written.keep_until)?;
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
            nonce: Nonce::parse(&written.nonce).ok_or(broken("its nonce is not 16 digits"))?,
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
            self.state.name(),
            self.generation,
            self.nonce,
            to_millis(self.expires_at),
            to_millis(self.keep_until),
            self.issuer,
        )
    }
}

impl fmt::Debug for TokenRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRecord")
            .field("state", &self.state)
            .field("generation", &self.generation)
            .field("expires_at", &self.expires_at)
            .field("keep_until", &self.keep_until)
            .finish_non_exhaustive()
    }
}

impl RecordState {
    fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Presenting { .. } => "presenting",
            Self::Ended(_) => "ended",
        }
    }
}

impl EndingReason {
    const ALL: [Self; 6] = [
        Self::Logout,
        Self::Replaced,
        Self::FailedLogin,
        Self::Provider,
        Self::Expired,
        Self::SubjectChanged,
    ];

    /// As it stands in a record, and as a label of metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::Replaced => "replaced",
            Self::FailedLogin => "failed_login",
            Self::Provider => "provider",
            Self::Expired => "expired",
            Self::SubjectChanged => "subject_changed",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

impl Nonce {
    pub(crate) fn random() -> Self {
        let mut nonce = [0; 8];
        rand::fill(&mut nonce).expect("the operating system gives random bytes");
        Self(u64::from_be_bytes(nonce))
    }

    fn parse(text: &str) -> Option<Self> {
        // `from_str_radix` would take a sign as well.
        if text.len() != 16 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        u64::from_str_radix(text, 16).ok().map(Self)
    }
}

/// Sixteen hexadecimal digits, as in a record's text.
impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
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

/// Times before 1970 count as 1970: both are long past.
pub(super) fn to_millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn from_millis(millis: u64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}
